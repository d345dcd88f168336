defmodule ElixirScope.Capture.TemporalBridge do
  @schema [
    name: [
      type:
        {:custom, "a name of a process: an atom, {:global, term} or {:via, module, term}",
         &__MODULE__.cast_name/1},
      doc: "The name that the process registers."
    ],
    pid: [
      type: {:custom, "a pid, a list of pids, or :all", &ElixirScope.Query.Options.cast_pid/1},
      default: :all,
      doc: "The processes by whose events it steps."
    ]
  ]

  @moduledoc """
  A cursor over the tape: stands at an event, steps forwards and backwards, and tells how everything was there and then.

  Each bridge is a process with a position of its own, so that several look at different times, and none of them disturbs the
  recording or another one. A new one stands at the newest event.

      iex> alias ElixirScope.Capture.TemporalBridge
      iex> ElixirScope.start()
      iex> {:ok, cart} = Agent.start_link(fn -> %{tea: 1} end)
      iex> {:ok, _ref} = ElixirScope.watch(cart)
      iex> for n <- [2, 3], do: Agent.update(cart, &Map.put(&1, :tea, n))
      iex> Agent.get(cart, & &1)
      %{tea: 3}
      iex> {:ok, bridge} = TemporalBridge.start_link(pid: cart)
      iex> {:ok, _position} = TemporalBridge.seek(bridge, :last)
      iex> {:ok, states} = TemporalBridge.states(bridge)
      iex> states[cart]
      %{tea: 3}
      iex> {:ok, change} = TemporalBridge.step(bridge, {:back, :state_change})
      iex> change.new_state
      %{tea: 2}
      iex> {:ok, states} = TemporalBridge.states(bridge)
      iex> states[cart]
      %{tea: 2}

  At the position of an event, that event has just happened. Where the tape has no event at or before a time, the position is
  before all of them.

  ## Options of `start_link/1`

  #{ElixirScope.Options.docs(@schema)}
  """

  use GenServer

  alias ElixirScope.Capture.TemporalBridge.Path
  alias ElixirScope.{Error, Events, Muted, Native, Options, Query, Timeline}

  @kinds [
    event: :all,
    call: [:function_entry],
    state_change: [:state_change],
    message: [:message_send, :message_receive]
  ]
  @kind_names Keyword.keys(@kinds)

  @typedoc "The process of a bridge, or its name."
  @type bridge :: GenServer.server()

  @typedoc "Where a bridge stands: `event` is nil before all events, and `time` that which was sought."
  @type position :: %{time: integer, event_id: pos_integer | nil, event: Events.t() | nil}

  @typedoc "What to step to: any event, the entry of a call, a change of a state, a message sent or received."
  @type kind :: :event | :call | :state_change | :message

  @type error :: {:error, :not_running | Error.t()} | Timeline.error()

  @doc """
  Starts a bridge, linked to the calling process.

      iex> {:error, error} = ElixirScope.Capture.TemporalBridge.start_link(name: "bridge")
      iex> Exception.message(error)
      ~s(invalid value for option :name: expected a name of a process: an atom, {:global, term} or {:via, module, term}, got: "bridge")
  """
  @spec start_link(keyword) :: GenServer.on_start() | {:error, Error.t()}
  def start_link(opts \\ []) do
    Muted.run(fn ->
      with {:ok, opts} <- Options.validate(opts, @schema) do
        GenServer.start_link(__MODULE__, opts.pid, opts |> Map.take([:name]) |> Map.to_list())
      end
    end)
  end

  # -- The cursor -------------------------------------------------------------------------------------------------------

  @doc """
  Goes to a time (integer nanoseconds or a `DateTime`), to an event (itself, or `{:event, id}`), to the `:first` or to the `:last` one.

  Going to a time means the newest event at or before it. An event that is not on the tape, or not any more, is
  `{:error, %ElixirScope.Error{reason: {:no_event, id}}}`.
  """
  @spec seek(bridge, :first | :last | Timeline.time() | {:event, pos_integer} | Events.t()) ::
          {:ok, position} | error
  def seek(bridge, to), do: call(bridge, {:seek, to})

  @doc """
  Goes to the next event of a kind, and answers it; `{:back, kind}` to the one before.

  At the end of the tape it stays where it is and answers `{:error, :end_of_tape}`, at its beginning `{:error, :start_of_tape}`.
  """
  @spec step(bridge, kind | {:forward | :back, kind}) ::
          {:ok, Events.t()} | {:error, :end_of_tape | :start_of_tape} | error
  def step(bridge, what \\ :event), do: call(bridge, {:step, what})

  @doc "Where it stands."
  @spec position(bridge) :: {:ok, position} | error
  def position(bridge), do: call(bridge, :position)

  # -- How it was there ---------------------------------------------------------------------------------------------------

  @doc "The states of all processes at the position, by process."
  @spec states(bridge) :: {:ok, %{pid => state :: term}} | error
  def states(bridge) do
    at_position(bridge, fn %{time: time} -> reconstruct_state_at(bridge, time) end)
  end

  @doc """
  The calls that were open at the position, by process, the innermost first: events with module, function and arguments.
  """
  @spec stacks(bridge) :: {:ok, %{pid => [Events.FunctionEntry.t()]}} | error
  def stacks(bridge) do
    at_position(bridge, fn %{time: time} ->
      with {:ok, stacks} <- Timeline.stacks_at(time) do
        {:ok, for({pid, _last, [_ | _] = entries} <- stacks, into: %{}, do: {pid, entries})}
      end
    end)
  end

  @doc """
  The processes of which something was recorded up to the position, and what each was doing: the innermost call that was open, or nil
  where it waited, or did what is not recorded.

  `alive` is true where the process has done something since, or lives; false where its end was recorded up to then;
  `:unknown` where neither is known.
  """
  @spec alive(bridge) ::
          {:ok, %{pid => %{alive: boolean | :unknown, doing: Events.FunctionEntry.t() | nil}}} | error
  def alive(bridge) do
    at_position(bridge, fn %{time: time} ->
      with {:ok, stacks} <- Timeline.stacks_at(time),
           {:ok, states} <- Timeline.states_at(time),
           ends when is_list(ends) <- ends(time) do
        doing = Map.new(stacks, fn {pid, _last, entries} -> {pid, List.first(entries)} end)
        known = Enum.uniq(Map.keys(doing) ++ for({pid, _module, _state, _meta} <- states, do: pid))
        dead = MapSet.new(ends, & &1.pid)
        {:ok, Map.new(known, &{&1, %{alive: alive?(&1, dead, time), doing: doing[&1]}})}
      end
    end)
  end

  @doc """
  The states of all processes at a time, by process; the position stays as it is. Of a process that holds several, the state of the
  module that it was started with. A process whose end was recorded up to then has none; `:last` gives its last one.
  """
  @spec reconstruct_state_at(bridge, Timeline.time() | :last) :: {:ok, %{pid => state :: term}} | error
  def reconstruct_state_at(_bridge, time) do
    Muted.run(fn ->
      with {:ok, states} <- Timeline.states_at(time),
           ends when is_list(ends) <- if(time == :last, do: [], else: ends(time)) do
        states = Enum.reduce(states, %{}, fn {pid, _m, state, _meta}, all -> Map.put_new(all, pid, state) end)
        {:ok, Map.drop(states, for(ended <- ends, do: ended.pid))}
      end
    end)
  end

  @doc """
  How it came to an event, given by itself or by its id: the calls that it happened in, before them the message or the spawn
  that brought its cause into that process, the calls which that happened in, and so on. The first cause comes first, the event last.
  """
  @spec trace_execution_path(bridge, Events.t() | pos_integer) :: {:ok, [Events.t()]} | error
  def trace_execution_path(_bridge, %{id: id}), do: path(id)
  def trace_execution_path(_bridge, id), do: path(id)

  @doc "All events of its processes from one time to another, both inclusive, oldest first."
  @spec get_events_in_range(bridge, Timeline.time(), Timeline.time()) :: {:ok, [Events.t()]} | error
  def get_events_in_range(bridge, from, to) do
    Muted.run(fn ->
      pids = GenServer.call(bridge, :pids, :infinity)

      with events when is_list(events) <-
             Query.get_events(pid: pids, since: from, until: to, limit: :infinity) do
        {:ok, events}
      end
    end)
  end

  @doc """
  What the bridge has done, and what there is to look at: `steps`, `seeks`, `position` (of its event), and `timelines` of `ElixirScope.status/0`.
  """
  @spec get_stats(bridge) ::
          %{
            steps: non_neg_integer,
            seeks: non_neg_integer,
            position: pos_integer | nil,
            timelines: map
          }
          | error
  def get_stats(bridge) do
    Muted.run(fn ->
      stats = GenServer.call(bridge, :stats, :infinity)
      with %{} = status <- status(), do: Map.put(stats, :timelines, Map.get(status, :timelines, %{}))
    end)
  end

  # -- In the calling process: what is large need not come by a message ---------------------------------------------------

  defp call(bridge, request), do: Muted.run(fn -> GenServer.call(bridge, request, :infinity) end)

  defp at_position(bridge, fun) do
    Muted.run(fn ->
      with {:ok, position} <- GenServer.call(bridge, :position, :infinity), do: fun.(position)
    end)
  end

  defp status, do: if(Native.running(), do: Native.status(), else: {:error, :not_running})

  defp ends(time) do
    Query.get_events(event_type: [:process_exit, :crash], until: time, limit: :infinity, payload: false)
  end

  defp alive?(pid, dead, time) do
    cond do
      pid in dead -> false
      Process.alive?(pid) -> true
      Query.get_events(pid: pid, since: time + 1, limit: 1, payload: false) != [] -> true
      true -> :unknown
    end
  end

  defp path(id) do
    Muted.run(fn ->
      cond do
        not (is_integer(id) and id > 0) -> Error.invalid(:event, id, "an event, or its id")
        event = event(id) -> if match?({:error, _reason}, event), do: event, else: {:ok, Path.to(event)}
        true -> no_event(id)
      end
    end)
  end

  # -- The process --------------------------------------------------------------------------------------------------------

  @impl true
  def init(pids) do
    Muted.forever()
    {:ok, %{pids: pids, position: nil, steps: 0, seeks: 0}}
  end

  @impl true
  def handle_call({:seek, to}, _from, state) do
    case find(to, state) do
      {:ok, position} -> {:reply, {:ok, position}, %{state | position: position, seeks: state.seeks + 1}}
      error -> {:reply, error, state}
    end
  end

  def handle_call({:step, what}, _from, state) do
    with {:ok, direction, types} <- direction(what),
         {:ok, position} <- standing(state),
         {:ok, event} <- next(direction, types, position, state) do
      {:reply, {:ok, event}, %{state | position: at(event), steps: state.steps + 1}}
    else
      error -> {:reply, error, state}
    end
  end

  def handle_call(:position, _from, state) do
    case standing(state) do
      {:ok, position} -> {:reply, {:ok, position}, %{state | position: position}}
      error -> {:reply, error, state}
    end
  end

  def handle_call(:pids, _from, state), do: {:reply, state.pids, state}

  def handle_call(:stats, _from, %{position: position} = state) do
    {:reply, %{steps: state.steps, seeks: state.seeks, position: if(position, do: position.event_id)}, state}
  end

  defp standing(%{position: nil} = state), do: find(:last, state)
  defp standing(%{position: position}), do: {:ok, position}

  defp at(event), do: %{time: event.timestamp, event_id: event.id, event: event}

  # -- Finding ------------------------------------------------------------------------------------------------------------

  defp find(:first, state), do: one([after: 0], state, &before_all/0)
  defp find(:last, state), do: one([], state, &before_all/0)
  defp find({:event, id}, _state) when is_integer(id) and id > 0, do: by_id(id)

  defp find({:event, id}, _state),
    do: Error.invalid(:to, {:event, id}, "{:event, id} with the id of an event")

  # An event that somebody made need not have an id.
  defp find(%_{id: id} = to, state) when is_integer(id) and id > 0 do
    if Events.event?(to), do: by_id(id), else: find_time(to, state)
  end

  defp find(to, state), do: find_time(to, state)

  defp find_time(to, state) do
    case Query.Options.cast_time(to) do
      {:ok, _time} ->
        with {:ok, time} <- Timeline.on_tape(to),
             {:ok, position} <- one([until: time], state, fn -> nowhere(time) end) do
          {:ok, %{position | time: time}}
        end

      :error ->
        Error.invalid(:to, to, "integer nanoseconds, a DateTime, an event, {:event, id}, :first or :last")
    end
  end

  defp one(opts, state, otherwise) do
    case Query.get_events([pid: state.pids, limit: 1] ++ opts) do
      [event] -> {:ok, at(event)}
      [] -> {:ok, otherwise.()}
      error -> error
    end
  end

  defp before_all do
    case Native.now() do
      time when is_integer(time) -> nowhere(time)
      _stopped_meanwhile -> nowhere(0)
    end
  end

  defp nowhere(time), do: %{time: time, event_id: nil, event: nil}

  defp by_id(id) do
    case event(id) do
      nil -> no_event(id)
      {:error, _reason} = error -> error
      event -> {:ok, at(event)}
    end
  end

  defp event(id) do
    case Query.get_events(after: id - 1, limit: 1) do
      [%{id: ^id} = event] -> event
      {:error, _reason} = error -> error
      _none_or_later -> nil
    end
  end

  defp no_event(id), do: {:error, %Error{reason: {:no_event, id}}}

  defp direction({direction, kind}) when direction in [:forward, :back] and kind in @kind_names,
    do: {:ok, direction, @kinds[kind]}

  defp direction(kind) when kind in @kind_names, do: {:ok, :forward, @kinds[kind]}

  defp direction(other) do
    kinds = Enum.map_join(@kind_names, ", ", &inspect/1)
    Error.invalid(:step, other, "one of #{kinds}, or {:forward, kind} or {:back, kind} with one of these")
  end

  defp next(:forward, types, %{event_id: id}, state),
    do: neighbour([after: id || 0], types, state, :end_of_tape)

  defp next(:back, _types, %{event_id: nil}, _state), do: {:error, :start_of_tape}
  defp next(:back, types, %{event_id: id}, state), do: neighbour([before: id], types, state, :start_of_tape)

  defp neighbour(opts, types, state, otherwise) do
    case Query.get_events([pid: state.pids, event_type: types, limit: 1] ++ opts) do
      [event] -> {:ok, event}
      [] -> {:error, otherwise}
      error -> error
    end
  end

  @doc false
  @spec cast_name(term) :: {:ok, term} | :error
  def cast_name(name) when is_atom(name) and name not in [nil, true, false], do: {:ok, name}
  def cast_name({:global, _term} = name), do: {:ok, name}
  def cast_name({:via, module, _term} = name) when is_atom(module), do: {:ok, name}
  def cast_name(_other), do: :error
end
