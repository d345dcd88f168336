defmodule ElixirScope.Tracing.Session do
  @moduledoc false

  # The only file that touches the VM's trace flags and patterns. A handle is a session of `:trace` where the VM has them (OTP 27 and
  # later), in which nobody else's flags and patterns exist; below that it is `:classic`, the one tracer to a process and the one pattern
  # to a function that all tools of the node share: what is somebody else's is then neither changed nor taken away.
  #
  # `erlang:trace/3` is told of one process at a time. For `existing` and `all` it can crash a VM whose dirty schedulers run traced
  # processes (otp pull request 8286), and there nothing could be left out. It logs an error where another tool has the process, so
  # that this is asked before.

  alias ElixirScope.Native
  alias ElixirScope.Tracing.{Crowd, Tokens}

  # erl_trace.c: flags without which a process has no tracer.
  @flags [:call, :send, :receive, :procs, :garbage_collection, :set_on_spawn, :arity]
  @tracer {:tracer, Native, 0}
  @session :elixir_scope

  # A clause that no call matches, by which our patterns are known.
  @mark {[:elixir_scope_trace], [false], []}

  # The sender, or the node, port or `:clock_service` where none is known; see `ElixirScope.Native`. One of the two as it is: a tuple of both
  # would be made anew, which takes the VM some 110 ns for each message that arrives.
  @senders [
    {[:"$1", :undefined, :_], [], [{:message, :"$1"}]},
    {[:_, :"$1", :_], [], [{:message, :"$1"}]}
  ]

  @type t :: :classic | term
  @type flag :: :call | :send | :receive | :procs | :garbage_collection | :set_on_spawn
  @type owner :: :nobody | :ours | :gone | {:other, tracer :: term}

  @doc "Whether this VM has sessions."
  @spec sessions?() :: boolean
  def sessions? do
    # Not of `:trace`, for which older VMs would look through their whole code path each time.
    function_exported?(:erts_internal, :trace_session_create, 3)
  end

  @doc "Whether this VM can tell the stack of a call: OTP 25 cannot."
  @spec stacks?() :: boolean
  def stacks? do
    match?(
      {:ok, _result, _flags, _warnings},
      :erlang.match_spec_test([], [{:_, [], [{:current_stacktrace}]}], :trace)
    )
  end

  @spec open() :: t
  def open do
    # Applied by name, since the compilers of OTP 25 and 26 know no such functions.
    if sessions?(), do: apply(:trace, :session_create, [@session, {Native, 0}, []]), else: :classic
  end

  @doc "Takes everything of ours away: from processes, functions, and what is still to be born."
  @spec close(t) :: :ok
  def close(:classic), do: sweep_classic()

  def close(session) do
    apply(:trace, :session_destroy, [session])
    :ok
  end

  # -- Processes --------------------------------------------------------------------------------------------------------

  @doc "Whose the tracer of a process is, or of those still to be born."
  @spec owner(t, pid | :new) :: owner
  def owner(:classic, who) do
    # Applied by name, since its type knows another form of a tracer that is a module than the VM answers.
    case apply(:erlang, :trace_info, [if(who == :new, do: :new_processes, else: who), :tracer]) do
      {:tracer, []} -> :nobody
      {:tracer, {Native, 0}} -> :ours
      {:tracer, tracer} -> {:other, tracer}
      :undefined -> :gone
    end
  end

  def owner(session, who) do
    case apply(:trace, :info, [session, who, :flags]) do
      {:flags, []} -> :nobody
      {:flags, [_ | _]} -> :ours
      _undefined -> :gone
    end
  end

  @doc "Sets flags on a process, or on those still to be born."
  @spec set(t, pid | :new, [flag]) :: :ok | :gone | {:other, tracer :: term}
  def set(session, who, flags) do
    case owner(session, who) do
      owner when owner in [:nobody, :ours] ->
        if :garbage_collection in flags and shared?(session, who, owner),
          do: {:other, :session},
          else: change(session, who, true, flags)

      gone_or_other ->
        gone_or_other
    end
  end

  # Two sessions that trace garbage collections of one process crash OTP 27 to 29 (otp issue 11624).
  defp shared?(:classic, _who, _owner), do: false

  defp shared?(_session, who, owner) do
    case apply(:trace, :session_info, [who]) do
      sessions when is_list(sessions) -> length(sessions) > if(owner == :ours, do: 1, else: 0)
      :undefined -> false
    end
  end

  @doc "Takes flags of ours away; whatever else is there stays."
  @spec clear(t, pid | :new, [flag] | :all) :: :ok
  def clear(session, who, flags) do
    if owner(session, who) == :ours,
      do: change(session, who, false, if(flags == :all, do: @flags, else: flags))

    :ok
  end

  defp change(:classic, who, on?, flags) do
    :erlang.trace(if(who == :new, do: :new_processes, else: who), on?, [@tracer | flags])
    :ok
  rescue
    # It has ended meanwhile, or somebody else was quicker.
    ArgumentError ->
      case owner(:classic, who) do
        {:other, tracer} -> {:other, tracer}
        _gone -> :gone
      end
  end

  defp change(session, who, on?, flags) do
    apply(:trace, :process, [session, who, on?, flags])
    :ok
  rescue
    ArgumentError -> :gone
  end

  @doc "The flags of ours that a process has."
  @spec flags(t, pid | :new) :: [flag]
  def flags(:classic, who) do
    target = if who == :new, do: :new_processes, else: who

    with :ours <- owner(:classic, who),
         {:flags, flags} <- :erlang.trace_info(target, :flags) do
      flags
    else
      _none -> []
    end
  end

  def flags(session, who) do
    case apply(:trace, :info, [session, who, :flags]) do
      {:flags, flags} when is_list(flags) -> flags
      _undefined -> []
    end
  end

  # -- Functions --------------------------------------------------------------------------------------------------------

  @doc "Whose pattern a function has; `:gone` is one that is not loaded."
  @spec owner_of_function(t, mfa) :: owner
  def owner_of_function(session, function) do
    case info(session, function) do
      {:all, :undefined} ->
        :gone

      {:all, facts} when is_list(facts) ->
        cond do
          facts[:traced] == false -> :nobody
          marked?(facts[:match_spec]) -> :ours
          true -> {:other, facts[:match_spec]}
        end

      {:all, false} ->
        :nobody
    end
  end

  defp info(:classic, function), do: :erlang.trace_info(function, :all)
  defp info(session, function), do: apply(:trace, :info, [session, function, :all])

  defp marked?(spec), do: is_list(spec) and spec != [] and List.last(spec) == @mark

  @doc "Sets our pattern on a function."
  @spec set_function(t, mfa, clauses :: [tuple]) :: :ok | :gone | {:other, match_spec :: term}
  def set_function(session, function, clauses) do
    with owner when owner in [:nobody, :ours] <- owner_of_function(session, function) do
      if pattern(session, function, clauses ++ [@mark]) == 0, do: :gone, else: :ok
    end
  end

  @doc "Takes our pattern away from a function."
  @spec clear_function(t, mfa) :: :ok
  def clear_function(session, function) do
    if owner_of_function(session, function) == :ours, do: pattern(session, function, false)
    :ok
  end

  defp pattern(:classic, what, spec), do: :erlang.trace_pattern(what, spec, options(what))

  defp pattern(session, :receive, spec), do: apply(:trace, :recv, [session, spec, []])
  defp pattern(session, :send, spec), do: apply(:trace, :send, [session, spec, []])
  defp pattern(session, what, spec), do: apply(:trace, :function, [session, what, spec, options(what)])

  defp options(messages) when messages in [:send, :receive], do: []
  defp options(_function), do: [:local]

  # -- Messages that arrive -----------------------------------------------------------------------------------------------

  @doc "Has the VM tell of the sender of what arrives: one pattern for all processes."
  @spec set_receive(t) :: :ok | {:other, match_spec :: term}
  def set_receive(session) do
    case receive_pattern(session) do
      spec when spec in [true, @senders] ->
        pattern(session, :receive, @senders)
        :ok

      other ->
        {:other, other}
    end
  end

  @spec clear_receive(t) :: :ok
  def clear_receive(session) do
    if receive_pattern(session) == @senders, do: pattern(session, :receive, true)
    :ok
  end

  defp receive_pattern(:classic), do: elem(:erlang.trace_info(:receive, :match_spec), 1)
  defp receive_pattern(session), do: elem(apply(:trace, :info, [session, :receive, :match_spec]), 1)

  # -- Messages that are sent -----------------------------------------------------------------------------------------------

  @doc "Has the VM give tokens to those that send: one pattern for all processes."
  @spec set_send(t, spec :: [tuple]) :: :ok | {:other, match_spec :: term}
  def set_send(session, spec) do
    case send_pattern(session) do
      true ->
        pattern(session, :send, spec)
        :ok

      other ->
        if Tokens.ours?(other), do: pattern(session, :send, spec) && :ok, else: {:other, other}
    end
  end

  @spec clear_send(t) :: :ok
  def clear_send(session) do
    if Tokens.ours?(send_pattern(session)), do: pattern(session, :send, true)
    :ok
  end

  defp send_pattern(:classic), do: elem(:erlang.trace_info(:send, :match_spec), 1)
  defp send_pattern(session), do: elem(apply(:trace, :info, [session, :send, :match_spec]), 1)

  # -- What is left ---------------------------------------------------------------------------------------------------------

  @doc """
  What of ours is still set below OTP 27, whoever set it. Sessions leave nothing: they are gone with the process that holds them.
  """
  @spec leftovers() :: %{processes: [pid | :new], functions: [mfa | :send | :receive]}
  def leftovers do
    new = if owner(:classic, :new) == :ours, do: [:new], else: []
    arriving = if receive_pattern(:classic) == @senders, do: [:receive], else: []
    sent = if Tokens.ours?(send_pattern(:classic)), do: [:send], else: []

    %{
      processes: new ++ Crowd.filter(Process.list(), &(owner(:classic, &1) == :ours)),
      functions: sent ++ arriving ++ Enum.filter(loaded(), &(owner_of_function(:classic, &1) == :ours))
    }
  end

  defp loaded do
    for {module, _file} <- :code.all_loaded(),
        {function, arity} <- functions(module),
        do: {module, function, arity}
  end

  # A module can be unloaded at any moment.
  defp functions(module) do
    :erlang.get_module_info(module, :functions)
  rescue
    ArgumentError -> []
  end

  @doc "Takes away what is left of one of ours that could not do so itself."
  @spec sweep() :: :ok
  def sweep do
    if sessions?(), do: destroy_all(), else: sweep_classic()
  end

  # A session ends with the process that holds it, unless that is killed in the middle of setting something.
  defp destroy_all do
    for {@session, _number} = session <- apply(:trace, :session_info, [:all]), do: close(session)
    :ok
  end

  defp sweep_classic do
    clear(:classic, :new, :all)
    left = leftovers()
    Enum.each(left.functions -- [:send, :receive], &clear_function(:classic, &1))
    clear_receive(:classic)
    clear_send(:classic)
    sweep(left.processes -- [:new], 100)
  end

  # Children that were born meanwhile have inherited flags; what is born of those without any has none. The tracer drops flags by
  # itself at the next event of a process that belongs to no trace.
  defp sweep(pids, rounds) when pids == [] or rounds == 0, do: :ok

  defp sweep(pids, rounds) do
    Crowd.map(pids, &clear(:classic, &1, :all))
    sweep(Crowd.filter(Process.list(), &(owner(:classic, &1) == :ours)), rounds - 1)
  end
end
