defmodule ElixirScope.Tracing do
  @moduledoc false

  # The VM's own tracer. Options and targets are checked in the calling process; one process of ours, `ElixirScope.Tracing.Server`, sets flags
  # and patterns and takes them away. What comes of them is recorded natively, without any process.

  alias ElixirScope.{Config, Error, Muted, Native, Options, Recorder}
  alias ElixirScope.Tracing.{Functions, Match, Refusal, Server, Session, Target}

  @events [:call, :return, :exception, :send, :receive, :procs, :gc]
  @calls [:call, :return, :exception]

  @day_ms 86_400_000

  @schema [
    events: [
      type: {:custom, "a list of " <> Enum.map_join(@events, ", ", &inspect/1), &__MODULE__.cast_events/1},
      default_doc: "`[:send, :receive, :procs]`; where functions are named, `[:call, :return, :exception]`",
      doc:
        "What is recorded: calls of functions, their returns, exceptions that leave them, messages that are sent, and that arrive, births, " <>
          "deaths, links and names of processes, garbage collections."
    ],
    for: [
      type: {:integer, 1, @day_ms},
      default_doc: "`traces: [for:]` of the configuration",
      doc: "How many milliseconds it goes on."
    ],
    max: [
      type: {:integer, 1, 1_000_000_000},
      default_doc: "`traces: [max:]`",
      doc: "How many events it records."
    ],
    rate: [
      type: {:integer, 1, 100_000_000},
      default_doc: "`traces: [rate:]`",
      doc: "How many events there may be in one second; more of them end the trace."
    ],
    functions: [
      type: {:custom, "a list, each element " <> Functions.expected(), &__MODULE__.cast_functions/1},
      default: [],
      doc: "Which functions are traced, where the target is processes."
    ],
    args: [type: :boolean, default: true, doc: "Whether the arguments of calls are recorded."],
    returns: [
      type: :boolean,
      default: true,
      doc: "Whether what a function returns is recorded, where its returns are."
    ],
    caller: [
      type: :boolean,
      default: false,
      doc:
        "Whether it is recorded where a call came from, as one frame in `stack` of `ElixirScope.Events.FunctionEntry`."
    ],
    stack: [
      type: :boolean,
      default: false,
      doc: "The same with all frames. OTP 26 is the first to tell them."
    ],
    only_inside: [
      type: {:custom, "{module, function, arity}", &__MODULE__.cast_function/1},
      doc: "Records only what a process does while a call of this function is under way in it."
    ],
    follow: [
      type: {:one_of, [:spawn, :message]},
      default_doc: "`:spawn` where the target is a tree or an application",
      doc:
        "Who joins: `:spawn`, the processes that those in the trace spawn; `:message`, those that they send messages (which needs " <>
          "`:send` among the events, and all processes to be watched out for)."
    ],
    causality: [
      type: {:one_of, [:order, :exact]},
      default: :order,
      doc:
        "How it is known which message arrived, who sent it, and what it goes back to: `:order`, by what it says and by order, which leaves some " <>
          "`:ambiguous` where records were lost; `:exact`, by tokens of the VM (`:seq_trace`), which needs `:send` and `:receive` among the events. " <>
          "Tokens cost, and stay on the node until the trace ends: see [the guide](tracing.html#exact-causality)."
    ],
    stop_when: [
      type: {:custom, "a match spec of a call's arguments", &__MODULE__.cast_spec/1},
      doc:
        "Ends the trace with the first call of its functions that this takes; that call is recorded. What `ElixirScope.match/1` makes " <>
          "will do, too."
    ],
    link: [type: :boolean, default: false, doc: "Whether the trace ends with the calling process."],
    force: [type: :boolean, default: false, doc: "Whether to trace what is otherwise refused."]
  ]

  @doc "The options in Markdown."
  @spec docs() :: String.t()
  def docs, do: Options.docs(@schema)

  @spec trace(term, term) :: {:ok, reference} | {:error, :not_running | {:remote, node} | Error.t()}
  def trace(target, opts) do
    caller = self()

    running(fn ->
      with {:ok, opts} <- Options.validate(opts, @schema),
           {:ok, plan} <- plan(target, opts, caller) do
        Server.trace(plan)
      else
        {:error, %Error{reason: {:not_traceable, _what, _kind} = reason}} = error ->
          Native.trace_note(:refused, target, nil, reason)
          error

        error ->
          error
      end
    end)
  end

  @spec untrace(term) :: :ok | {:error, :not_running | Error.t()}
  def untrace(ref) do
    running(fn ->
      if ref == :all or is_reference(ref),
        do: Server.untrace(ref),
        else: Error.invalid(:ref, ref, "a reference that ElixirScope.trace/2 answered, or :all")
    end)
  end

  @doc "Ends all traces, since the recorder stops."
  @spec stop_all(atom) :: :ok | {:error, Error.t()}
  def stop_all(reason), do: Server.stop_all(reason)

  @doc "The process that holds them, if it is there."
  @spec server() :: pid | nil
  def server, do: Process.whereis(Server)

  @doc "Takes away what traces have left, in the calling process."
  @spec sweep() :: :ok
  defdelegate sweep, to: Server

  @doc "Traces that run, and the last ones that ended, for `ElixirScope.status/0`."
  @spec status() :: %{traces: [map], ended_traces: [map]}
  def status, do: Server.status()

  # -- A plan -----------------------------------------------------------------------------------------------------------

  defp plan(given, opts, caller) do
    with {:ok, target} <- Target.find(given),
         :ok <- one_place(target, opts),
         named = target.functions ++ opts.functions,
         {:ok, %{functions: functions, left_out: own}} <- Functions.find(named),
         events = events(opts, functions),
         :ok <- sensible(events, functions, target, opts),
         {:ok, functions} <- stops(functions, opts),
         {:ok, enclosing} <- enclosing(opts),
         :ok <- permitted(named, functions, enclosing, events, target, opts, caller) do
      {:ok,
       %{
         target: given,
         scope: target.scope,
         named: target.named,
         found: target.found,
         left_out: left_out(target, events, opts, caller),
         own_functions: length(own),
         functions: functions,
         enclosing: enclosing,
         events: events,
         causality: opts.causality,
         follow: Map.get(opts, :follow, if(target.grows, do: :spawn)),
         limits: Map.merge(limits(), Map.take(opts, [:for, :max, :rate])),
         owner: caller,
         opts: Map.take(opts, [:args, :returns, :caller, :stack, :link])
       }}
    end
  end

  defp one_place(%{functions: [_ | _]}, %{functions: [_ | _] = functions}),
    do: Error.invalid(:functions, functions, "no functions where the target is functions already")

  defp one_place(_target, _opts), do: :ok

  defp events(%{events: events}, _functions), do: events
  defp events(_opts, []), do: [:send, :receive, :procs]
  defp events(_opts, _functions), do: @calls

  defp sensible(events, functions, target, opts) do
    calls = Enum.any?(@calls, &(&1 in events))

    cond do
      functions == [] and calls ->
        Error.invalid(
          :events,
          events,
          "events without calls, or the option :functions with the functions to trace"
        )

      functions != [] and not calls ->
        Error.invalid(:events, events, "some of :call, :return and :exception, since functions are named")

      target.functions != [] and events -- @calls != [] and not is_map_key(opts, :only_inside) ->
        Error.invalid(
          :events,
          events,
          "only :call, :return and :exception where functions are the target; processes as target with the option :functions, or " <>
            ":only_inside, for others"
        )

      opts[:follow] == :message and :send not in events ->
        Error.invalid(:follow, :message, "it with :send among the events: #{inspect(events)}")

      opts.causality == :exact and not (:send in events and :receive in events) ->
        Error.invalid(:causality, :exact, "it with :send and :receive among the events: #{inspect(events)}")

      opts[:follow] != nil and target.scope == :all ->
        Error.invalid(:follow, opts.follow, "nobody to be followed, since all processes are traced")

      opts.stack and not Session.stacks?() ->
        Error.invalid(
          :stack,
          true,
          "false on this VM, since OTP 26 is the first to tell it; caller: true works here"
        )

      is_map_key(opts, :stop_when) and functions == [] ->
        Error.invalid(:stop_when, opts.stop_when, "it with functions, whose calls it is about")

      true ->
        :ok
    end
  end

  defp stops(functions, %{stop_when: spec}) do
    Enum.reduce_while(functions, {:ok, []}, fn {mfa, heads}, {:ok, done} ->
      case stop(spec, mfa) do
        {:ok, stop} -> {:cont, {:ok, [{mfa, heads, stop} | done]}}
        error -> {:halt, error}
      end
    end)
  end

  defp stops(functions, _opts), do: {:ok, for({mfa, heads} <- functions, do: {mfa, heads, []})}

  defp stop({:match, mfa, spec}, mfa), do: Match.heads(spec, mfa, :stop_when)
  defp stop({:match, _other, _spec}, _mfa), do: {:ok, []}
  defp stop(spec, mfa), do: Match.heads(spec, mfa, :stop_when)

  defp enclosing(%{only_inside: function}) do
    with {:ok, [{mfa, :any}]} <- Functions.exact(function), do: {:ok, mfa}
  end

  defp enclosing(_opts), do: {:ok, nil}

  defp permitted(_named, _functions, _enclosing, _events, _target, %{force: true}, _caller), do: :ok

  defp permitted(named, functions, enclosing, events, target, _opts, caller) do
    functions = for {mfa, _heads, _stop} <- functions, do: mfa
    ends? = :return in events or :exception in events

    with :ok <- Refusal.functions(named, functions, ends?),
         :ok <- Refusal.functions([], List.wrap(enclosing), true) do
      Refusal.processes(target.named, caller)
    end
  end

  # Calls of functions are traced wherever they are made. What else is told of all processes leaves out those that are needed to tell it.
  defp left_out(_target, _events, %{force: true}, _caller), do: MapSet.new()

  defp left_out(target, events, _opts, caller) do
    if target.functions != [] and events -- @calls == [],
      do: ElixirScope.Tracing.Processes.ours(),
      else: Refusal.left_out(caller)
  end

  # What was configured last is what the recorder runs with.
  defp limits do
    config = Recorder.InUse.config() || Options.defaults(Config.schema())
    Map.take(config.traces, [:for, :max, :rate])
  end

  # -- Options ----------------------------------------------------------------------------------------------------------

  @doc false
  @spec cast_events(term) :: {:ok, [atom]} | :error
  def cast_events(events) do
    if Options.proper_list?(events) and events != [] and Enum.all?(events, &(&1 in @events)),
      do: {:ok, Enum.filter(@events, &(&1 in events))},
      else: :error
  end

  @doc false
  @spec cast_functions(term) :: {:ok, [term]} | :error
  def cast_functions(functions) do
    if is_list(functions) and Options.proper_list?(functions), do: {:ok, functions}, else: :error
  end

  @doc false
  @spec cast_spec(term) :: {:ok, term} | :error
  def cast_spec({:match, {_module, _function, _arity}, _spec} = match), do: {:ok, match}
  def cast_spec(spec), do: if(is_list(spec), do: {:ok, spec}, else: :error)

  @doc false
  @spec cast_function(term) :: {:ok, mfa} | :error
  def cast_function({module, function, arity} = mfa)
      when is_atom(module) and is_atom(function) and arity in 0..255,
      do: {:ok, mfa}

  def cast_function(_other), do: :error

  defp running(fun), do: Muted.run(fn -> if Native.running(), do: fun.(), else: {:error, :not_running} end)
end
