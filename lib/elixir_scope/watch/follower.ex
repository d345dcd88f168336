defmodule ElixirScope.Watch.Follower do
  @moduledoc false

  # Watches one process, for all who asked for it: one debug function or one timer, so that several watches do not record the same
  # change twice. Ends with the last watch, and with the process. One that takes the place of a crashed one takes away what that
  # one has left in the process, and ends.

  use GenServer, restart: :transient

  # looks end by a throw
  @dialyzer {:no_return, install: 2, learn: 1}

  alias ElixirScope.{Error, Muted, Native, Site}
  alias ElixirScope.Watch.{Cell, Seen, Table}

  @typedoc "What `ElixirScope.status/0` tells of a watch."
  @type status :: %{
          ref: reference,
          pid: pid,
          module: module,
          mode: :changes | :interval,
          for: :infinity | pos_integer,
          max: :infinity | pos_integer,
          rate: :infinity | pos_integer,
          interval: pos_integer | nil,
          recorded: non_neg_integer,
          age_ms: non_neg_integer
        }

  # How long a process may take to answer a system message before it counts as one that does not; and how long we wait for it
  # to take back what it was given. Its last answer is in the mailbox in any case.
  @answer_ms 1_000
  @remove_ms 200

  # One that nobody asked for a watch in this time is the successor of one that crashed.
  @idle_ms 10_000

  @typedoc "A process, and the module that holds its state, whose name the timeline bears."
  @type target :: {pid, module}

  @spec start_link(target) :: GenServer.on_start()
  def start_link(target), do: GenServer.start_link(__MODULE__, target)

  @doc "The error of a process that cannot be watched, with the reason in words."
  @spec refused(pid, String.t()) :: {:error, Error.t()}
  def refused(pid, why), do: {:error, %Error{reason: {:not_watchable, pid}, details: %{why: why}}}

  @doc "Adds a watch."
  @spec watch(pid, map) :: {:ok, reference} | {:error, Error.t()}
  def watch(follower, opts), do: GenServer.call(follower, {:watch, opts}, :infinity)

  @doc "Ends a watch; it is gone from the process when this has answered, if the process answers."
  @spec unwatch(pid, reference) :: :ok
  def unwatch(follower, ref), do: GenServer.call(follower, {:unwatch, ref}, :infinity)

  @doc "Its watches; none where it is about to end."
  @spec status(pid) :: [status]
  def status(follower) do
    GenServer.call(follower, :status, 5_000)
  catch
    :exit, _gone_or_busy -> []
  end

  # -- The process ------------------------------------------------------------------------------------------------------

  @impl true
  def init({pid, module}) do
    Muted.forever()
    Process.flag(:trap_exit, true)

    case Table.register(pid, self()) do
      :ok ->
        Process.monitor(pid)
        Process.send_after(self(), :idle?, @idle_ms)

        {:ok,
         %{
           pid: pid,
           module: module,
           site: Site.new({module, nil, 0, "", 0, 0, [], :mark}),
           watches: %{},
           behaviour: nil,
           cell: nil,
           functions: [],
           timer: nil,
           last: nil
         }}

      {:left, {cell, functions}} ->
        Cell.close(cell)
        remove(pid, functions)
        Table.forget(pid)
        :ignore

      :taken ->
        :ignore
    end
  end

  @impl true
  def handle_call({:watch, opts}, _from, state) do
    case same(state, opts) do
      nil -> add(opts, state)
      ref -> {:reply, {:error, %Error{reason: {:already_watched, state.pid}, details: %{ref: ref}}}, state}
    end
  end

  def handle_call({:unwatch, ref}, from, state) do
    state = drop(state, [ref])

    # the answer comes after what the end of this process takes back
    if state.watches == %{} do
      take_back(state)
      GenServer.reply(from, :ok)
      {:stop, :normal, gone(state)}
    else
      {:reply, :ok, limits(state)}
    end
  end

  def handle_call(:status, _from, state), do: {:reply, Enum.map(state.watches, &report(&1, state)), state}

  @impl true
  def handle_info({:limit, cell, told}, %{cell: cell} = state) do
    now = now_ms()
    over = for {ref, watch} <- state.watches, over?(watch, told, now), do: ref
    go_on(drop(state, over))
  end

  def handle_info({:over, ref}, state), do: go_on(drop(state, [ref]))
  def handle_info({:look, timer}, %{timer: timer} = state), do: look(state)
  def handle_info({:DOWN, _monitor, :process, pid, _}, %{pid: pid} = state), do: {:stop, :normal, gone(state)}

  def handle_info({:DOWN, monitor, :process, _caller, _reason}, state) do
    go_on(drop(state, for({ref, %{monitor: ^monitor}} <- state.watches, do: ref)))
  end

  def handle_info(:idle?, %{watches: watches} = state) when watches == %{}, do: {:stop, :normal, state}
  def handle_info(_other, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state) do
    take_back(state)
    Table.forget(state.pid)
  end

  # -- Watches ----------------------------------------------------------------------------------------------------------

  defp same(state, opts) do
    Enum.find_value(state.watches, fn {ref, watch} -> if watch.opts == opts, do: ref end)
  end

  defp add(opts, state) do
    ref = make_ref()

    watch = %{
      opts: opts,
      begun_ms: now_ms(),
      base: recorded(state),
      timer: if(opts.for != :infinity, do: Process.send_after(self(), {:over, ref}, opts.for)),
      monitor: if(opts.link, do: Process.monitor(opts.caller))
    }

    case state |> put_in([:watches, ref], watch) |> arrange() do
      {:ok, state} ->
        {:reply, {:ok, ref}, limits(state)}

      {:error, error} ->
        forget(watch)

        if state.watches == %{},
          do: {:stop, :normal, {:error, error}, state},
          else: {:reply, {:error, error}, state}
    end
  end

  defp drop(state, refs) do
    {dropped, watches} = Map.split(state.watches, refs)
    Enum.each(dropped, fn {_ref, watch} -> forget(watch) end)
    %{state | watches: watches}
  end

  defp forget(watch) do
    if watch.timer, do: Process.cancel_timer(watch.timer)
    if watch.monitor, do: Process.demonitor(watch.monitor, [:flush])
    :ok
  end

  defp go_on(%{watches: watches} = state) when watches == %{}, do: {:stop, :normal, state}

  defp go_on(state) do
    # A limit that was the last of all when it was come to, and then was not, since another watch had just begun.
    with true <- state.cell != nil and Cell.closed?(state.cell),
         {:error, _does_not_answer} <- arrange(stop_timer(%{take_back(state) | functions: []})) do
      {:stop, :normal, state}
    else
      {:ok, state} -> {:noreply, limits(state)}
      false -> {:noreply, limits(state)}
    end
  end

  defp over?(watch, {:recorded, recorded}, _now), do: recorded - watch.base >= watch.opts.max
  defp over?(watch, {:rate, in_second}, _now), do: in_second > watch.opts.rate

  defp over?(watch, {:for, _at}, now),
    do: watch.opts.for != :infinity and now - watch.begun_ms >= watch.opts.for

  # What the process itself is told: where the first of its watches ends, and where the last one does.
  defp limits(%{cell: nil} = state), do: state

  defp limits(%{cell: cell, watches: watches} = state) do
    all =
      for {_ref, %{opts: opts} = watch} <- watches, do: {plus(opts.max, watch.base), opts.rate, left(watch)}

    for {name, at} <- [recorded: 0, rate: 1] do
      {least, most} = all |> Enum.map(&elem(&1, at)) |> Enum.min_max()
      Cell.limit(cell, name, least, most)
    end

    Cell.until(cell, all |> Enum.map(&elem(&1, 2)) |> Enum.max())
    state
  end

  # An atom is more than any number, as an endless limit should be.
  defp plus(:infinity, _base), do: :infinity
  defp plus(max, base), do: max + base

  defp left(%{opts: %{for: :infinity}}), do: :infinity
  defp left(%{opts: opts} = watch), do: max(watch.begun_ms + opts.for - now_ms(), 0)

  defp recorded(%{cell: nil}), do: 0
  defp recorded(%{cell: cell}), do: Cell.recorded(cell)

  defp report({ref, %{opts: opts} = watch}, state) do
    %{
      ref: ref,
      pid: state.pid,
      module: state.module,
      mode: if(state.functions != [], do: :changes, else: :interval),
      for: opts.for,
      max: opts.max,
      rate: opts.rate,
      interval: opts[:interval],
      recorded: recorded(state) - watch.base,
      age_ms: now_ms() - watch.begun_ms
    }
  end

  # -- How it is watched --------------------------------------------------------------------------------------------------

  # At every change, unless all who watch want looks on a timer.
  defp arrange(%{watches: watches} = state) do
    intervals = for {_ref, %{opts: %{interval: interval}}} <- watches, do: interval

    cond do
      length(intervals) == map_size(watches) -> watch_by_timer(state, Enum.min(intervals))
      state.functions != [] -> {:ok, state}
      true -> with {:ok, state} <- learn(state), do: watch_changes(state)
    end
  end

  defp learn(%{behaviour: nil, pid: pid} = state) do
    me = self()
    ref = make_ref()

    with :ok <- ask(pid, fn -> :sys.replace_state(pid, fn _state -> Seen.learn(me, ref) end, @answer_ms) end) do
      receive do
        {^ref, behaviour} -> {:ok, %{state | behaviour: behaviour}}
      after
        0 -> {:ok, %{state | behaviour: :unknown}}
      end
    end
  end

  defp learn(state), do: {:ok, state}

  defp watch_changes(%{behaviour: :gen_server} = state), do: install(state, &Seen.event/3)
  defp watch_changes(%{behaviour: :gen_statem} = state), do: install(state, &Seen.machine/3)

  defp watch_changes(%{pid: pid}) do
    refused(
      pid,
      "its behaviour does not tell of its states; it is looked at every so many milliseconds with interval: ms"
    )
  end

  # First the function, then the look at what the state is: nothing that changes in between is missed.
  defp install(%{pid: pid, site: site, behaviour: behaviour} = state, function) do
    cell = Cell.new(recorded(state))
    [first, second] = functions = for n <- [1, 2], do: {:elixir_scope, n, make_ref()}
    state = %{stop_timer(state) | cell: cell, functions: functions}
    Cell.limit(cell, :recorded, :infinity, :infinity)
    Cell.limit(cell, :rate, :infinity, :infinity)
    Cell.until(cell, :infinity)
    Table.note(pid, {cell, functions})
    kept = Seen.kept(site, cell, self())
    successor = if behaviour == :gen_server, do: second
    look = fn held -> Seen.first_look(kept, successor, held) end

    with :ok <- ask(pid, fn -> :sys.install(pid, {first, function, kept}, @answer_ms) end),
         :ok <- ask(pid, fn -> :sys.replace_state(pid, look, @answer_ms) end) do
      {:ok, state}
    else
      error ->
        take_back(state)
        error
    end
  end

  # `:sys` makes an error of what a look throws, and of an error that it throws nothing.
  defp ask(pid, request) do
    request.()
    :ok
  rescue
    _thrown in ErlangError -> :ok
  catch
    :exit, {:timeout, _call} ->
      {:error,
       %Error{reason: {:timeout, @answer_ms}, details: %{what: "a system message to #{inspect(pid)}"}}}

    :exit, {reason, _call} ->
      {:error, %Error{reason: {:no_process, pid}, details: %{reason: reason}}}
  end

  defp take_back(state) do
    if state.cell, do: Cell.close(state.cell)
    remove(state.pid, state.functions)
    state
  end

  # All are sent, and then waited for once.
  defp remove(_pid, []), do: :ok

  defp remove(pid, functions) do
    {before, [last]} = Enum.split(functions, -1)
    for function <- before, do: send(pid, {:system, {self(), make_ref()}, {:debug, {:remove, function}}})
    :sys.remove(pid, last, @remove_ms)
  catch
    # It is gone, or busy: then it takes the functions back when it comes to it.
    :exit, _reason -> :ok
  end

  # Nothing is to be taken back from the process any more.
  defp gone(state), do: %{state | cell: nil, functions: []}

  # -- Looks on a timer ---------------------------------------------------------------------------------------------------

  defp watch_by_timer(%{timer: nil} = state, interval) do
    cell = Cell.new(recorded(state))
    take_back(state)
    state = %{state | cell: cell, functions: [], timer: make_ref(), last: nil}
    state = limits(state)

    case get_state(state.pid) do
      {:ok, held} ->
        Native.state_of(state.site, state.pid, held)
        Process.send_after(self(), {:look, state.timer}, interval)
        {:ok, %{state | last: {:held, held}}}

      error ->
        error
    end
  end

  defp watch_by_timer(state, _interval), do: {:ok, state}

  defp stop_timer(state), do: %{state | timer: nil, last: nil}

  defp look(state) do
    state = seen(get_state(state.pid), state)
    intervals = for {_ref, %{opts: %{interval: interval}}} <- state.watches, do: interval
    Process.send_after(self(), {:look, state.timer}, Enum.min(intervals))
    {:noreply, state}
  end

  # A process that is busy is looked at again.
  defp seen({:error, _no_answer}, state), do: state
  defp seen({:ok, held}, %{last: {:held, last}} = state) when held === last, do: state

  defp seen({:ok, held}, %{cell: cell, site: site, pid: pid} = state) do
    case Cell.count(cell) do
      :record ->
        Native.state_of(site, pid, held)

      {:record, told} ->
        Native.state_of(site, pid, held)
        send(self(), {:limit, cell, told})

      {:over, told} ->
        send(self(), {:limit, cell, told})
    end

    %{state | last: {:held, held}}
  end

  defp get_state(pid) do
    {:ok, :sys.get_state(pid, @answer_ms)}
  rescue
    error in ErlangError ->
      refused(pid, "it does not tell its state: #{inspect(error.original, limit: 5)}")
  catch
    :exit, {:timeout, _call} ->
      {:error,
       %Error{reason: {:timeout, @answer_ms}, details: %{what: "a system message to #{inspect(pid)}"}}}

    :exit, {reason, _call} ->
      {:error, %Error{reason: {:no_process, pid}, details: %{reason: reason}}}
  end

  defp now_ms, do: :erlang.monotonic_time(:millisecond)
end
