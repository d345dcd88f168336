defmodule ElixirScope.Tracing.Server do
  @moduledoc false

  # Puts traces in one order: one after another sets flags and patterns, and takes them away. The native side counts events, ends a trace
  # at its limits by itself, and drops the flags of processes that have events then; this process looks every 50 ms, and removes the rest.
  #
  # When it is killed, all traces are over: sessions end with the process that holds them, and its successor takes away what the
  # classic interface has left.

  use GenServer

  alias ElixirScope.{Error, Muted, Native, Patience}
  alias ElixirScope.Tracing.{Flags, Functions, Messages, Pattern, Session, Tokens}

  @poll_ms 50
  @most 16
  # of those that ended, for status
  @remembered 16

  @spec start_link(term) :: GenServer.on_start()
  def start_link(_arg), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @spec trace(map) :: {:ok, reference} | {:error, Error.t() | :not_running}
  def trace(plan), do: call({:trace, plan})

  @spec untrace(reference | :all) :: :ok | {:error, Error.t()}
  def untrace(ref), do: call({:untrace, ref})

  @spec stop_all(atom) :: :ok | {:error, Error.t()}
  def stop_all(reason), do: call({:stop_all, reason})

  @doc "Takes away what traces have left when there was no time to end them, in the calling process."
  @spec sweep() :: :ok
  def sweep do
    if Native.load_failure() == nil do
      traces = Native.trace_status()
      for {number, _state, _recorded, _skipped, _missed} <- traces, do: Native.trace_end(number, :stopped)
      if traces != [] or Session.sessions?(), do: Session.sweep()
      Tokens.release()
      for {number, _state, _recorded, _skipped, _missed} <- traces, do: Native.trace_free(number)
    end

    :ok
  end

  @spec status() :: %{traces: [map], ended_traces: [map]}
  def status do
    with {:error, _gone} <- call(:status), do: %{traces: [], ended_traces: []}
  end

  defp call(request), do: Patience.call(fn -> GenServer.call(__MODULE__, request, :infinity) end)

  # -- The process ------------------------------------------------------------------------------------------------------

  @impl true
  def init(nil) do
    Muted.forever()
    Process.flag(:trap_exit, true)
    # What a trace left has to go also where the node has no time left, then above all.
    Process.flag(:priority, :high)
    sweep()
    {:ok, %{session: nil, traces: %{}, functions: %{}, codes: %{}, ended: [], timer: nil, epoch: nil}}
  end

  @impl true
  def handle_call({:trace, plan}, _from, state) do
    state = look(state)

    case begin(plan, state) do
      {:ok, ref, state} ->
        {:reply, {:ok, ref}, look_again(state)}

      {{:error, error}, state} ->
        if is_struct(error), do: note(:refused, plan, error.reason)
        {:reply, {:error, error}, close(state)}
    end
  rescue
    # What was half done the next process of ours takes away. Whoever asked is answered: he would ask that one, too.
    fault ->
      error = {:error, %Error{reason: fault, details: %{what: "the beginning of a trace"}}}
      {:stop, {fault, __STACKTRACE__}, error, state}
  end

  def handle_call({:untrace, :all}, _from, state), do: {:reply, :ok, finish_all(look(state), :stopped)}
  def handle_call({:untrace, ref}, _from, state), do: {:reply, :ok, finish(look(state), ref, :stopped)}
  def handle_call({:stop_all, reason}, _from, state), do: {:reply, :ok, finish_all(look(state), reason)}

  def handle_call(:status, _from, state) do
    state = look(state)
    used = used()
    traces = for trace <- in_order(state), do: Map.merge(report(trace), used[trace.number] || %{})
    {:reply, %{traces: traces, ended_traces: state.ended}, state}
  end

  @impl true
  def handle_info(:look, state) do
    {:noreply, %{state | timer: nil} |> look() |> renew() |> look_again()}
  end

  def handle_info({:DOWN, monitor, :process, _pid, _reason}, state) do
    refs = for {ref, %{monitor: ^monitor}} <- state.traces, do: ref
    {:noreply, Enum.reduce(refs, state, &finish(&2, &1, :owner_down))}
  end

  def handle_info(_other, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state), do: finish_all(state, :stopped)

  defp look_again(%{timer: nil, traces: traces} = state) when traces != %{},
    do: %{state | timer: Process.send_after(self(), :look, @poll_ms)}

  defp look_again(state), do: state

  # -- The beginning of a trace -----------------------------------------------------------------------------------------

  # Natively it is there before the first flag is set, so that nothing is told that nobody knows of.
  defp begin(plan, state) do
    with {:ok, state} <- free_of_others(plan, opened(state)),
         {:ok, trace, state} <- open(plan, state),
         {:ok, state} <- set_functions(trace, state),
         {:ok, state} <- set_messages(trace, state),
         {:ok, state} <- set_flags(trace, state) do
      Native.trace_record(trace.number)
      note(:started, trace.plan, nil)
      {:ok, trace.ref, state}
    else
      # What was done by then is undone.
      {:error, error, trace, state} -> {{:error, error}, elem(undo(trace, state), 1)}
      {:error, error, state} -> {{:error, error}, state}
    end
  end

  defp opened(%{session: nil} = state), do: %{state | session: Session.open()}
  defp opened(state), do: state

  # The VM knows nothing of traces that are not there any more: what is left of ours goes as a whole.
  defp close(%{traces: traces, session: session} = state) when traces == %{} and session != nil do
    unless session == :classic, do: Session.close(session)
    %{state | session: nil, functions: %{}, codes: %{}}
  end

  defp close(state), do: state

  # Asked before anything is changed, for the most common answer.
  defp free_of_others(plan, %{session: session} = state) do
    functions = Enum.map(plan.functions, &elem(&1, 0)) ++ List.wrap(plan.enclosing)

    by_other =
      Enum.find_value(plan.named, fn pid ->
        with {:other, tracer} <- Session.owner(session, pid),
             do: Flags.by_other(pid, tracer),
             else: (_ -> nil)
      end)

    function = Enum.find(functions, &match?({:other, _spec}, Session.owner_of_function(session, &1)))

    cond do
      by_other -> {:error, elem(by_other, 1), state}
      function -> {:error, %Error{reason: {:traced_by_other, function}}, state}
      true -> {:ok, state}
    end
  end

  defp open(plan, state) do
    config = %{
      events: plan.events,
      args: plan.opts.args,
      returns: plan.opts.returns,
      max: plan.limits.max,
      rate: plan.limits.rate,
      for: plan.limits.for,
      scope: plan.scope,
      only_inside: plan.enclosing,
      follow: plan.follow,
      exact: plan.causality == :exact
    }

    now = now_ms()

    case Native.trace_open(config) do
      {:ok, number} ->
        Native.trace_members(number, plan.named ++ plan.found, true)

        trace = %{
          ref: make_ref(),
          number: number,
          plan: plan,
          monitor: if(plan.opts.link, do: Process.monitor(plan.owner)),
          started_at: instant(),
          ends_ms: now + plan.limits.for,
          flags: Flags.of(plan),
          left_out: %{}
        }

        {:ok, trace, put_in(state.traces[trace.ref], trace)}

      {:error, :not_running} ->
        {:error, :not_running, state}

      {:error, :too_many_traces} ->
        {:error, %Error{reason: {:too_many_traces, @most}}, state}

      {:error, :guard} ->
        {:error, %Error{reason: :guarded}, state}
    end
  end

  defp set_flags(trace, state) do
    case Flags.set(trace, state.session) do
      {:ok, left_out} -> {:ok, put_in(state.traces[trace.ref].left_out, left_out)}
      {:error, error} -> {:error, error, trace, state}
    end
  end

  # -- Patterns of functions ------------------------------------------------------------------------------------------------

  defp set_functions(%{plan: plan, number: number} = trace, state) do
    ends =
      cond do
        :exception in plan.events -> :exception
        :return in plan.events -> :return
        true -> nil
      end

    from =
      cond do
        plan.opts.stack -> :stack
        plan.opts.caller -> :caller
        true -> nil
      end

    want = %{number: number, heads: :any, ends: ends, from: from, stop: [], recorded: true}
    wants = for {mfa, heads, stop} <- plan.functions, do: {mfa, %{want | heads: heads, stop: stop}}

    # What encloses has to be seen whole, whatever else is wanted of it.
    enclosing = %{want | ends: :exception, from: nil, recorded: false}

    wants =
      case plan.enclosing && List.keyfind(wants, plan.enclosing, 0) do
        nil -> wants ++ if(plan.enclosing, do: [{plan.enclosing, enclosing}], else: [])
        {mfa, wanted} -> List.keyreplace(wants, mfa, 0, {mfa, %{wanted | ends: :exception}})
      end

    wants
    |> Enum.reduce_while({:ok, state}, fn {mfa, want}, {:ok, state} ->
      case add_function(mfa, want, state) do
        {:ok, state} -> {:cont, {:ok, state}}
        {:error, error, state} -> {:halt, {:error, error, trace, state}}
      end
    end)
  end

  defp add_function({module, _name, _arity} = mfa, want, state) do
    wants = Map.get(state.functions, mfa, [])

    if Pattern.fits?(wants, want) do
      state = put_in(state.functions[mfa], [want | wants])
      state = put_in(state.codes[module], Map.get_lazy(state.codes, module, fn -> code(module) end))

      case tell(mfa, state) do
        :ok -> {:ok, state}
        :gone -> {:error, %Error{reason: {:unknown_function, module, mfa}}, state}
        {:other, _spec} -> {:error, %Error{reason: {:traced_by_other, mfa}}, state}
      end
    else
      {:error, %Error{reason: {:other_calls_traced, mfa}}, state}
    end
  end

  # Natively first, so that the VM tells nothing that is not known there.
  defp tell({module, name, arity} = mfa, state) do
    wants = Map.fetch!(state.functions, mfa)
    %{file: file, lines: lines, own: own} = state.codes[module]
    recorded = for want <- wants, want.recorded, not MapSet.member?(own, mfa), do: want.number
    Native.trace_function(mfa, file, Map.get(lines, {name, arity}, 0), recorded)
    Session.set_function(state.session, mfa, Pattern.clauses(wants))
  end

  defp code(module) do
    {file, lines} = Functions.places(module)
    %{file: file, lines: lines, own: Functions.own([module]), md5: md5(module)}
  end

  defp md5(module) do
    :erlang.get_module_info(module, :md5)
  rescue
    ArgumentError -> nil
  end

  # The VM forgets the patterns of code that is exchanged, and `dbg:ctp/0` takes those of everybody away.
  defp renew(state) do
    lost =
      for {mfa, _wants} <- state.functions, Session.owner_of_function(state.session, mfa) == :nobody, do: mfa

    modules = for {module, _name, _arity} <- lost, uniq: true, do: module
    changed = for module <- modules, md5(module) != state.codes[module].md5, do: module
    state = Enum.reduce(changed, state, &put_in(&2.codes[&1], code(&1)))
    Enum.each(lost, &tell(&1, state))
    state
  end

  defp clear_functions(%{number: number}, state) do
    Enum.reduce(state.functions, state, fn {mfa, wants}, state ->
      case Enum.reject(wants, &(&1.number == number)) do
        ^wants ->
          state

        [] ->
          Session.clear_function(state.session, mfa)
          Native.trace_function(mfa, "", 0, [])
          %{state | functions: Map.delete(state.functions, mfa)}

        left ->
          state = put_in(state.functions[mfa], left)
          tell(mfa, state)
          state
      end
    end)
  end

  # -- Messages -------------------------------------------------------------------------------------------------------------

  defp set_messages(trace, state) do
    case Messages.set(trace.plan, state.session, state.epoch) do
      {:ok, epoch} -> {:ok, %{state | epoch: epoch}}
      {:error, error} -> {:error, error, trace, state}
    end
  end

  # -- The end of a trace ---------------------------------------------------------------------------------------------------

  # Traces at their limits, those whose time is over, and those whose processes are gone.
  defp look(%{traces: traces} = state) when traces == %{}, do: state

  defp look(state) do
    native =
      Map.new(Native.trace_status(), fn {number, how, _recorded, _skipped, _missed} -> {number, how} end)

    now = now_ms()

    Enum.reduce(in_order(state), state, fn trace, state ->
      case native[trace.number] do
        {:ended, reason} -> finish(state, trace.ref, reason)
        _running when now >= trace.ends_ms -> finish(state, trace.ref, :for)
        _running -> if(deserted?(trace), do: finish(state, trace.ref, :no_process), else: state)
      end
    end)
  end

  defp deserted?(%{plan: %{scope: :members, follow: nil} = plan}),
    do: not Enum.any?(plan.named, &Process.alive?/1) and not Enum.any?(plan.found, &Process.alive?/1)

  defp deserted?(_trace), do: false

  defp finish_all(state, reason),
    do: Enum.reduce(in_order(state), state, &finish(&2, &1.ref, reason))

  defp finish(state, ref, reason) do
    case state.traces do
      %{^ref => trace} ->
        Native.trace_end(trace.number, reason)
        used = used()[trace.number] || %{recorded: 0, skipped: 0, missed: 0}
        {kept, state} = undo(trace, state)
        note(:ended, trace.plan, reason, used)
        last = %{reason: reason, ended_at: instant(), tokens_kept: kept}
        ended = report(trace) |> Map.merge(used) |> Map.merge(last)
        close(%{state | ended: Enum.take([ended | state.ended], @remembered)})

      _ended_already ->
        state
    end
  end

  defp undo(trace, state) do
    Native.trace_end(trace.number, :stopped)
    if trace.monitor, do: Process.demonitor(trace.monitor, [:flush])
    state = %{state | traces: Map.delete(state.traces, trace.ref)}
    state = trace |> clear_functions(state) |> forget_codes()
    left = for {_ref, left} <- state.traces, do: left.plan
    Messages.clear(left, state.session)
    Flags.clear(trace, Map.values(state.traces), state.session)
    {epoch, kept} = Messages.clear_tokens(left, state.epoch)
    Native.trace_free(trace.number)
    {kept, %{state | epoch: epoch}}
  end

  defp forget_codes(state) do
    modules = for {{module, _name, _arity}, _wants} <- state.functions, uniq: true, do: module
    %{state | codes: Map.take(state.codes, modules)}
  end

  # -- What is told -----------------------------------------------------------------------------------------------------------

  # Which events they are says what the tape is complete in, see `ElixirScope.Life.Tree`; that some processes were missed, that it is not.
  defp note(operation, plan, reason, used \\ %{missed: 0}) do
    missed = if used.missed > 0, do: %{missed: used.missed}, else: %{}
    limits = plan.limits |> Map.put(:events, plan.events) |> Map.merge(missed)
    Native.trace_note(operation, plan.target, limits, reason)
  end

  defp report(trace) do
    %{
      ref: trace.ref,
      number: trace.number,
      target: trace.plan.target,
      owner: trace.plan.owner,
      events: trace.plan.events,
      causality: trace.plan.causality,
      limits: trace.plan.limits,
      started_at: trace.started_at,
      ends_at: trace.started_at + trace.plan.limits.for * 1_000_000,
      left_out: trace.left_out
    }
  end

  defp used do
    Map.new(Native.trace_status(), fn {number, _how, recorded, skipped, missed} ->
      {number, %{recorded: recorded, skipped: skipped, missed: missed}}
    end)
  end

  defp in_order(state), do: state.traces |> Map.values() |> Enum.sort_by(& &1.started_at)

  # The recorder may have been stopped meanwhile: its clock follows the VM's.
  defp instant do
    with {:error, :not_running} <- Native.now(), do: :erlang.monotonic_time(:nanosecond)
  end

  defp now_ms, do: :erlang.monotonic_time(:millisecond)
end
