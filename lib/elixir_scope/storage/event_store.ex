defmodule ElixirScope.Storage.EventStore do
  @schema [
    name: [type: :atom, doc: "The name that the process registers."],
    memory_limit: [type: {:at_least, 1_048_576}, default: 24 * 1_048_576, doc: "Bytes, indexes included."],
    max_events: [type: {:or, :infinity, :pos_integer}, default: :infinity, doc: "Events in the store."],
    max_age_ms: [
      type: {:or, :infinity, :pos_integer},
      default: :infinity,
      doc: "Age of an event, in milliseconds."
    ]
  ]

  @moduledoc """
  A store of events that is fed by hand, for tools and tests.

  It is the recorder's own kind of store, segments, indexes and limits alike, without a recorder: events made by a program
  go in, and the queries of `ElixirScope.get_events/1` are answered from it. What the recorder taped is not in here.

      iex> alias ElixirScope.Storage.EventStore
      iex> alias ElixirScope.Events.UserEvent
      iex> {:ok, store} = EventStore.start_link()
      iex> :ok = EventStore.store_events(store, [
      ...>   %UserEvent{timestamp: 1, pid: self(), name: :opened, data: %{id: 7}},
      ...>   %UserEvent{timestamp: 2, pid: self(), name: :closed, data: %{id: 7}}
      ...> ])
      iex> {:ok, [event]} = EventStore.query_events(store, where: [{[:name], :==, :closed}])
      iex> {event.timestamp, event.name, event.data}
      {2, :closed, %{id: 7}}

  The store belongs to a process and is freed with it. The store names its events itself: the `id` of an event that is
  put in is not looked at, and ids follow the order in which events are put in.

  ## Options of `start_link/1`

  #{ElixirScope.Options.docs(@schema)}
  """

  use GenServer

  alias ElixirScope.{Config, Error, Events, Muted, Native, Options, Query}

  @enforce_keys [:ref]
  defstruct @enforce_keys

  @typedoc "The process of a store, or its name."
  @type store :: GenServer.server()

  @doc """
  Starts a store, linked to the calling process.

      iex> {:error, error} = ElixirScope.Storage.EventStore.start_link(max_events: 0)
      iex> Exception.message(error)
      "invalid value for option :max_events: expected a positive integer or :infinity, got: 0"
  """
  @spec start_link(keyword) :: GenServer.on_start() | {:error, Error.t()}
  def start_link(opts \\ []), do: Muted.run(fn -> start(opts) end)

  defp start(opts) do
    with {:ok, config} <- Options.validate(opts, @schema),
         nil <- Native.load_failure(),
         # Made here, so that a failure is an answer; the process only keeps it.
         {:ok, ref} <- Native.store_new(to_native(config)) do
      GenServer.start_link(__MODULE__, %__MODULE__{ref: ref}, Keyword.new(Map.take(config, [:name])))
    else
      %Error{} = failure ->
        {:error, failure}

      {:error, %Error{}} = error ->
        error

      {:error, {:memory_limit_too_small, given, least}} ->
        Error.invalid(:memory_limit, given, "an integer of at least #{least}")

      {:error, reason} ->
        {:error, %Error{reason: reason, details: %{what: "making a store of events"}}}
    end
  end

  @doc "Puts one event into the store."
  @spec store_event(store, Events.t()) :: :ok | {:error, Error.t()}
  def store_event(store, event), do: put(store, [event])

  @doc """
  Puts events into the store, in the order of the list: all of them, or none where one is wrong.

  An event without a `timestamp` gets the time of now.
  """
  @spec store_events(store, [Events.t()]) :: :ok | {:error, Error.t()}
  def store_events(store, events) do
    if Options.proper_list?(events),
      do: put(store, events),
      else: Error.invalid(:events, events, "a list of event structs")
  end

  @doc "The events that match; takes the options of `ElixirScope.get_events/1`."
  @spec query_events(store, keyword) ::
          {:ok, [Events.t()]} | {:error, {:remote, node} | Error.t()}
  def query_events(store, opts \\ []) do
    ref = ref(store)

    Muted.run(fn ->
      with {:ok, query} <- Query.Options.validate(opts, System.time_offset(:nanosecond)),
           events when is_list(events) <- Native.store_query(ref, query) do
        {:ok, events}
      else
        error -> Query.answer(error, "ElixirScope.Storage.EventStore.query_events/2")
      end
    end)
  end

  @doc """
  The figures of a store: `events`, `segments`, `bytes` by kind, `memory_limit`, `oldest` and `newest` time,
  `evicted`.

      iex> {:ok, store} = ElixirScope.Storage.EventStore.start_link()
      iex> ElixirScope.Storage.EventStore.get_index_stats(store).events
      0
  """
  @spec get_index_stats(store) :: map
  def get_index_stats(store), do: store |> ref() |> Native.store_stats()

  defp put(store, events) do
    ref = ref(store)

    Muted.run(fn ->
      with {:ok, events} <- check(events, System.monotonic_time(:nanosecond), []) do
        Query.answer(Native.store_put(ref, events), "ElixirScope.Storage.EventStore.store_events/2")
      end
    end)
  end

  defp check([], _now, checked), do: {:ok, Enum.reverse(checked)}

  defp check([event | rest], now, checked) do
    cond do
      not Events.event?(event) ->
        Error.invalid(:event, event, "a struct of ElixirScope.Events")

      not (event.pid == nil or (is_pid(event.pid) and node(event.pid) == node())) ->
        Error.invalid(:event, event, "an event whose pid is nil or a process of this node")

      event.timestamp == nil ->
        check(rest, now, [%{event | timestamp: now} | checked])

      not (is_integer(event.timestamp) and abs(event.timestamp) <= 0x7FFF_FFFF_FFFF_FFFF) ->
        Error.invalid(:event, event, "an event whose timestamp is integer nanoseconds of 64 bits, or nil")

      true ->
        check(rest, now, [event | checked])
    end
  end

  # The work is done in the calling process; the store's own one is only asked for the handle.
  defp ref(store), do: GenServer.call(store, :ref)

  defp to_native(config) do
    %{
      memory_limit: config.memory_limit,
      max_events: config.max_events,
      max_age_ns: Config.age_ns(config.max_age_ms),
      time_offset: System.time_offset(:nanosecond),
      node: node()
    }
  end

  # -- The process ------------------------------------------------------------------------------------------------------

  @impl true
  def init(store) do
    Muted.forever()
    {:ok, store}
  end

  @impl true
  def handle_call(:ref, _from, store), do: {:reply, store.ref, store}

  defimpl Inspect do
    def inspect(%{ref: ref}, _opts) do
      %{events: events, segments: segments} = ElixirScope.Native.store_stats(ref)
      "#ElixirScope.Storage.EventStore<#{events} events in #{segments} segments>"
    end
  end
end
