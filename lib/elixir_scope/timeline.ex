defmodule ElixirScope.Timeline do
  @moduledoc false

  # Asks for the states of processes at past times. Runs in the calling process, muted; states are replayed natively.

  alias ElixirScope.{Error, Events, Muted, Native, Options, Query}

  @times "integer nanoseconds or a DateTime"

  @module [
    type: :atom,
    doc:
      "The callback module whose state is meant, where a process holds several: the one that it was started with when nothing " <>
        "is said."
  ]

  @state [module: @module]

  @change [
    module: @module,
    before: [
      type: {:custom, @times, &Query.Options.cast_time/1},
      doc: "The newest change at or before this time; the newest of all when neither option is given."
    ],
    after: [
      type: {:custom, @times, &Query.Options.cast_time/1},
      doc: "The oldest change later than this time."
    ]
  ]

  # What a history does not take: it is about one process and one kind of event.
  @not_history [:pid, :event_type, :function, :arity, :correlation_id, :call_id, :where]

  @typedoc "Integer nanoseconds on the tape's clock, or a `DateTime`."
  @type time :: integer | DateTime.t()

  @type quality :: :exact | :unverified | :approximate

  @type meta :: %{
          quality: quality,
          module: module,
          recorded_at: integer,
          event_id: pos_integer,
          replayed: non_neg_integer,
          redacted: non_neg_integer,
          alive: true | :unknown
        }

  @typedoc "`old` is nil of what was added, `new` of what was removed. Of a masked value that changed both are the mark."
  @type change :: %{
          path: [term],
          op: :added | :removed | :changed,
          old: term,
          new: term
        }

  @type error ::
          {:error,
           :not_running
           | :no_state_recorded
           | {:exited, at_ns :: integer, exit_reason :: term}
           | :evicted
           | {:remote, node}
           | Error.t()}

  # Reasons of the contract, which come as they are.
  @plain [:no_state_recorded, :evicted, :never_changed]

  @doc "The options of a question for a state, in Markdown."
  @spec state_docs() :: String.t()
  def state_docs, do: Options.docs(@state)

  @doc "The options of a question for a change, in Markdown."
  @spec change_docs() :: String.t()
  def change_docs, do: Options.docs(@change)

  @doc "The options of a history, in Markdown."
  @spec history_docs() :: String.t()
  def history_docs, do: Query.Options.docs(@not_history)

  @spec get_state_at(term, term, term) :: (state :: term) | error
  def get_state_at(pid, time, opts) do
    with {:ok, state, _meta} <- fetch("ElixirScope.get_state_at/3", pid, time, opts), do: state
  end

  @spec fetch_state_at(term, term, term) :: {:ok, state :: term, meta} | error
  def fetch_state_at(pid, time, opts) do
    with {:ok, state, meta} <- fetch("ElixirScope.fetch_state_at/3", pid, time, opts) do
      {:ok, state, Map.put(meta, :alive, if(Process.alive?(pid), do: true, else: :unknown))}
    end
  end

  defp fetch(what, pid, time, opts) do
    ask(what, fn offset ->
      with :ok <- check_pid(pid),
           {:ok, time} <- instant(:time, time, offset),
           {:ok, opts} <- Options.validate(opts, @state),
           :ok <- still_there(pid, time) do
        Native.state_at(Map.merge(opts, %{pid: pid, time: time}))
      end
    end)
  end

  # A dead process has no state any more, if its end is on tape. A crash is recorded at its end, but for what the VM tells.
  defp still_there(_pid, :last), do: :ok

  defp still_there(pid, time) do
    if Process.alive?(pid) do
      :ok
    else
      query = %{pid: [pid], until: time, limit: 1, order: :asc, payload: true}

      with [] <- Native.get_events(Map.put(query, :event_type, [:process_exit])),
           [] <- Native.get_events(Map.put(query, :event_type, [:crash])) do
        :ok
      else
        [%Events.ProcessExit{} = exit] -> {:error, {:exited, exit.timestamp, exit.exit_reason}}
        [%Events.CrashDump{} = crash] -> {:error, {:exited, crash.timestamp, crash.crash_reason}}
        {:error, reason} -> {:error, reason}
      end
    end
  end

  # `native` is for the native side: `text` asks for `ElixirScope.Replay.Text` in the place of large values.
  @spec get_state_history(term, term, map) :: [Events.StateChange.t()] | error
  def get_state_history(pid, opts, native \\ %{}) do
    ask("ElixirScope.get_state_history/2", fn offset ->
      with :ok <- check_pid(pid),
           {:ok, query} <- Query.Options.validate(opts, offset, @not_history),
           query = query |> Map.merge(native) |> Map.merge(%{pid: [pid], event_type: [:state_change]}),
           [] <- Native.get_events(query) do
        nothing_in_window(pid)
      end
    end)
  end

  # No change within the options is an answer; a process of which no state was ever recorded is none.
  defp nothing_in_window(pid) do
    with {:error, :no_state_recorded} <- Native.state_at(%{pid: pid, time: :last}) do
      {:error, :no_state_recorded}
    else
      _recorded_or_evicted -> []
    end
  end

  @spec get_state_diff(term, term, term, term, map) :: {:ok, [change]} | error
  def get_state_diff(pid, from, to, opts, native \\ %{}) do
    ask("ElixirScope.get_state_diff/4", fn offset ->
      with :ok <- check_pid(pid),
           {:ok, first} <- instant(:from, from, offset),
           {:ok, last} <- instant(:to, to, offset),
           :ok <- in_order(from, first, last),
           {:ok, opts} <- Options.validate(opts, @state),
           :ok <- still_there(pid, first),
           :ok <- still_there(pid, last) do
        Native.state_diff(opts |> Map.merge(native) |> Map.merge(%{pid: pid, from: first, to: last}))
      end
    end)
  end

  @spec last_change(term, term, term) :: Events.StateChange.t() | error | {:error, :never_changed}
  def last_change(pid, path, opts) do
    ask("ElixirScope.last_change/3", fn offset ->
      with :ok <- check_pid(pid),
           :ok <- check_path(path),
           {:ok, opts} <- Options.validate(opts, @change),
           :ok <- one_direction(opts) do
        opts = Map.new(opts, &change_time(&1, offset))
        Native.last_change(Map.merge(opts, %{pid: pid, path: path}))
      end
    end)
  end

  @doc "The states of all processes that have a timeline, by process; of several states of one process the default one."
  @spec states_at(term) :: {:ok, [{pid, module, state :: term, meta :: map}]} | error
  def states_at(time), do: list(time, "the states of all processes", &Native.states_at/1)

  @doc "The calls that were open at a time, by process, the innermost first."
  @spec stacks_at(term) ::
          {:ok, [{pid, last_event_id :: pos_integer, [Events.FunctionEntry.t()]}]} | error
  def stacks_at(time), do: list(time, "the call stacks of all processes", &Native.stacks_at/1)

  @doc "Checks a time; answers it on the tape's clock."
  @spec on_tape(term) :: {:ok, integer | :last} | error
  def on_tape(time), do: ask("a time", fn offset -> instant(:time, time, offset) end)

  defp list(time, what, fun) do
    ask(what, fn offset ->
      with {:ok, time} <- instant(:time, time, offset),
           list when is_list(list) <- fun.(%{time: time}) do
        {:ok, list}
      end
    end)
  end

  # -- Asking -----------------------------------------------------------------------------------------------------------

  defp ask(what, fun) do
    Muted.run(fn ->
      with true <- Native.running() || {:error, :not_running},
           offset when is_integer(offset) <- Native.time_offset() do
        answer(fun.(offset), what)
      end
    end)
  end

  defp answer({:error, reason}, _what) when reason in @plain, do: {:error, reason}
  defp answer({:error, {:exited, at_ns, reason}}, _what), do: {:error, {:exited, at_ns, reason}}
  defp answer({:error, {:remote, node}}, _what), do: {:error, {:remote, node}}
  defp answer(answer, what), do: Query.answer(answer, what)

  # -- Arguments --------------------------------------------------------------------------------------------------------

  defp check_pid(pid) when not is_pid(pid), do: Error.invalid(:pid, pid, "a pid")
  defp check_pid(pid) when node(pid) != node(), do: {:error, {:remote, node(pid)}}
  defp check_pid(_pid), do: :ok

  defp instant(_key, :last, _offset), do: {:ok, :last}

  defp instant(key, time, offset) do
    case Query.Options.cast_time(time) do
      {:ok, time} -> {:ok, Query.Options.tape_time(time, offset)}
      :error -> Error.invalid(key, time, @times <> ", or :last")
    end
  end

  # `:last` is later than any time.
  defp in_order(_from, _first, :last), do: :ok
  defp in_order(from, :last, _last), do: Error.invalid(:from, from, "a time not after :to")
  defp in_order(_from, first, last) when first <= last, do: :ok
  defp in_order(from, _first, _last), do: Error.invalid(:from, from, "a time not after :to")

  defp check_path(path) do
    cond do
      not Options.proper_list?(path) -> Error.invalid(:path, path, "a list of keys and indexes")
      length(path) > Query.Options.longest_path() -> Error.invalid(:path, path, longest_path())
      true -> :ok
    end
  end

  defp longest_path, do: "a list of at most #{Query.Options.longest_path()} keys and indexes"

  defp one_direction(%{before: _time, after: later}),
    do: Error.invalid(:after, later, "one of the options :before and :after")

  defp one_direction(_opts), do: :ok

  defp change_time({key, time}, offset) when key in [:before, :after],
    do: {key, Query.Options.tape_time(time, offset)}

  defp change_time(other, _offset), do: other
end
