defmodule ElixirScope.Error do
  @moduledoc """
  What went wrong, as data: a `reason` to match on, and `details`.

  Every function that can fail answers `{:error, error}` with this exception, or with one of the plain reasons that its
  documentation names, such as `:not_running`. The text is made by `Exception.message/1` alone.

      iex> {:error, error} = ElixirScope.Config.load(strategy: :everything)
      iex> {:invalid_option, :strategy, :everything, _expected} = error.reason
      iex> Exception.message(error)
      "invalid value for option :strategy: expected one of :minimal, :balanced, :full_trace, got: :everything"

  An option inside another one is named by its path:

      iex> {:error, error} = ElixirScope.Config.load(capture: [max_depth: 0])
      iex> Exception.message(error)
      "invalid value for option [:capture, :max_depth]: expected a positive integer, got: 0"
  """

  @typedoc "The name of an option, the path of one inside another, or the name of an environment variable."
  @type option :: atom | [atom] | String.t()

  @typedoc """
  Reasons to match on. Others may come, for which `message/1` has a text all the same.

    * `{:invalid_option, key, value, expected}`: an option or argument is not what was expected, in words; so come unknown options too
    * `:library_not_loaded`: the native library could not be loaded; `details` say why
    * `:application_not_started`: the application `:elixir_scope` has to be started first
    * `:destroyed`: the native object is gone
    * `:guarded`: recording is thinned to spare the node, so that no trace begins; see `ElixirScope.Guard`
    * `:term_too_big`: a term takes more than 64 MiB
    * `{:no_process, pid_or_name}`: nobody is there to be watched
    * `{:no_event, id}`: no such event is on the tape
    * `{:not_watchable, pid}`: `details` say why
    * `{:already_watched, pid}`: by the calling process with the same options; `details.ref` is that watch
    * `{:not_traceable, pid_or_function, kind}`: a trace of it could hurt the node, or would tell nothing; `details.why` says it, and
      `force: true` traces it all the same
    * `{:traced_by_other, pid | function | :new | :send | :receive | :seq_trace}`: another tool traces it, which is left alone
    * `{:records_itself, function}`: its module is instrumented, so that its calls are on the tape already
    * `{:other_calls_traced, function}`: another trace is about other calls of it
    * `{:too_many_traces, most}`: so many run already
    * `{:bad_match_spec, match_spec}`: `details.why` says what is wrong with it
    * `{:not_written, path, posix}`: a file could not be written
    * `{:node_lost, node, reason}`: another node stopped answering
    * `{:timeout, milliseconds}`: what was under way did not come to an end in that time
  """
  @type reason ::
          {:invalid_option, option, value :: term, expected :: String.t()}
          | :library_not_loaded
          | :application_not_started
          | :destroyed
          | :guarded
          | :term_too_big
          | {:no_process, pid | term}
          | {:no_event, pos_integer}
          | {:not_watchable, pid}
          | {:already_watched, pid}
          | {:not_traceable, pid | mfa | tuple, atom}
          | {:traced_by_other, pid | mfa | :new | :send | :receive | :seq_trace}
          | {:records_itself, mfa}
          | {:other_calls_traced, mfa}
          | {:too_many_traces, pos_integer}
          | {:bad_match_spec, term}
          | {:not_written, Path.t(), :file.posix()}
          | {:node_lost, node, term}
          | {:timeout, non_neg_integer}
          | term

  @type t :: %__MODULE__{reason: reason, details: map}

  @enforce_keys [:reason]
  defexception [:reason, details: %{}]

  @doc false
  @spec invalid(option, term, String.t(), map) :: {:error, t}
  def invalid(key, value, expected, details \\ %{}) do
    {:error, %__MODULE__{reason: {:invalid_option, key, value, expected}, details: details}}
  end

  @doc "The text of an error."
  @impl true
  @spec message(t) :: String.t()
  def message(%__MODULE__{reason: reason, details: %{source: source} = details}) do
    text(reason, details) <> " (in #{source})"
  end

  def message(%__MODULE__{reason: reason, details: details}), do: text(reason, details)

  defp text({:invalid_option, key, value, expected}, %{unknown: true}) do
    "unknown option #{name(key)}: expected #{expected}, got the value: #{show(value)}"
  end

  defp text({:invalid_option, variable, value, expected}, _details) when is_binary(variable) do
    "invalid value of the environment variable #{variable}: expected #{expected}, got: #{show(value)}"
  end

  defp text({:invalid_option, key, value, expected}, _details) do
    "invalid value for option #{name(key)}: expected #{expected}, got: #{show(value)}"
  end

  defp text(:library_not_loaded, %{path: path, text: text}) do
    "the native library of ElixirScope could not be loaded from #{path}: #{text}"
  end

  defp text(:library_not_loaded, _details) do
    "the native library of ElixirScope has not been loaded"
  end

  defp text(:application_not_started, _details) do
    "the application :elixir_scope is not started: expected it among the applications that run, " <>
      "as Application.ensure_all_started(:elixir_scope) does"
  end

  defp text(:destroyed, %{what: what}), do: "#{what} has been destroyed: expected one that is in use"

  defp text(:guarded, _details) do
    "recording is thinned to spare the node, and no trace begins: expected a level below :no_traces, see ElixirScope.status().guard"
  end

  defp text(:term_too_big, details) do
    "#{details[:what] || "the native recorder"} was given a term that takes more than 64 MiB: expected a smaller one"
  end

  defp text({:timeout, ms}, %{what: what}), do: "#{what} did not come to an end in #{ms} ms"
  defp text({:timeout, ms}, _details), do: "the native recorder did not come to an end in #{ms} ms"

  defp text({:no_process, process}, _details) do
    "there is no process #{show(process)}: expected one that lives on this node"
  end

  defp text({:no_event, id}, _details) do
    "the tape has no event #{show(id)}: expected the id of one that is on it, and has not left it for its limits"
  end

  defp text({:not_watchable, pid}, %{why: why}), do: "#{show(pid)} cannot be watched: #{why}"

  defp text({:already_watched, pid}, %{ref: ref}) do
    "#{show(pid)} is already watched by the calling process with the same options: expected others, or " <>
      "ElixirScope.unwatch/1 of #{show(ref)} before"
  end

  defp text({:not_traceable, what, _kind}, %{why: why}), do: "#{function(what)} is not traced: #{why}"

  defp text({:traced_by_other, :seq_trace}, details) do
    "the system tracer of :seq_trace, of which a node has one, is taken#{tracer(details)}: expected none where causality: :exact needs it, since " <>
      "what is somebody else's is left alone; causality: :order needs none"
  end

  defp text({:traced_by_other, what}, details) do
    "#{function(what)} is traced by another tool#{tracer(details)}: expected it to end that, since what is somebody else's is left alone"
  end

  defp text({:records_itself, function}, _details) do
    "#{function(function)} is instrumented, and records its calls itself: expected other functions, or ElixirScope.uninstrument/1 of its " <>
      "module before"
  end

  defp text({:other_calls_traced, function}, _details) do
    "another trace is about other calls of #{function(function)}, and the VM knows one match spec to a function: expected the same one, or " <>
      "the end of that trace"
  end

  defp text({:too_many_traces, most}, _details) do
    "#{most} traces run already, as many as there can be: expected one of them to end before"
  end

  defp text({:bad_match_spec, spec}, %{option: option, function: function, why: why}) do
    "the match spec of #{name(option)} for #{function(function)} is wrong: #{why} Got: #{show(spec)}"
  end

  defp text({:not_written, path, reason}, _details) do
    "#{path} could not be written: #{:file.format_error(reason)}"
  end

  defp text({:node_lost, node, reason}, _details), do: "#{node} stopped answering: #{show(reason)}"

  defp text({:unknown_module, module}, _details) do
    "#{show(module)} is no module: expected one that is loaded, or that the code path has"
  end

  defp text({:unknown_function, module, function}, _details) do
    "#{show(module)} has no function #{show(function)}: expected the names, or {name, arity}, of its own functions"
  end

  defp text({:refused, why}, _details), do: "this module is never instrumented: #{why}"

  defp text({:old_code_in_use, pids}, _details) do
    "#{length(pids)} processes still run older code of the module: expected none, since nobody is to be killed: #{show(pids)}"
  end

  defp text({:not_loaded, why}, _details), do: "the emulator refused the instrumented code: #{show(why)}"

  defp text({:sticky, module}, _details) do
    "#{show(module)} is a module of OTP, in a sticky directory: expected another one, or force: true"
  end

  defp text({:other_code_loaded, module}, _details) do
    "the code of #{show(module)} that is loaded is not what the code path has: expected the same, as after :code.load_file/1"
  end

  defp text({:compile_failed, why}, %{module: module}) do
    "the instrumented code of #{show(module)} could not be compiled: #{why}"
  end

  defp text(:not_a_beam, %{module: module}), do: "the beam file of #{show(module)} is damaged, or none"

  defp text(:no_debug_info, %{module: module, why: :in_memory}) do
    "#{show(module)} has no beam file: expected one with debug information. " <>
      "Put `use ElixirScope.Instrument` into a module that is defined in a script or in iex"
  end

  defp text(:no_debug_info, %{module: module}) do
    "the beam of #{show(module)} has no debug information, of which instrumented code is made: expected it compiled with " <>
      "debug_info, and in a release `strip_beams: [keep: [\"Dbgi\"]]`; the option debug_info: takes the path of such a beam. " <>
      "Without it, the VM's own tracer is left: ElixirScope.trace/2"
  end

  defp text(reason, %{what: what}), do: "#{what} failed: #{show(reason)}"
  defp text(reason, _details), do: "the native recorder failed: #{show(reason)}"

  defp name(key), do: inspect(key)

  defp function({module, :_, _arity}) when is_atom(module), do: "every function of #{inspect(module)}"
  defp function({module, name, :_}) when is_atom(module), do: "#{inspect(module)}.#{name} of every arity"
  defp function({:module, module}), do: "every function of #{inspect(module)}"

  defp function({module, name, arity}) when is_atom(module) and is_atom(name) and is_integer(arity),
    do: Exception.format_mfa(module, name, arity)

  defp function(:new), do: "what is born from now on"
  defp function(:receive), do: "the arrival of messages"
  defp function(other), do: show(other)

  defp tracer(%{tracer: tracer}) when is_pid(tracer) or is_port(tracer), do: " (#{inspect(tracer)})"
  defp tracer(_details), do: ""

  # A message stays readable, whatever was passed.
  defp show(value), do: inspect(value, limit: 10, printable_limit: 200)
end
