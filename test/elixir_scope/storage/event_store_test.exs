defmodule ElixirScope.Storage.EventStoreTest do
  use ExUnit.Case, async: true

  import ElixirScope.Test.RecorderCase, only: [message_of: 1]

  alias ElixirScope.{Error, Events}
  alias ElixirScope.Storage.EventStore
  alias ElixirScope.Test.Oracle

  doctest EventStore

  setup do
    {:ok, store} = EventStore.start_link()
    %{store: store}
  end

  describe "store_events/2 and query_events/2" do
    test "take and give back an event of every kind", %{store: store} do
      for type <- Events.types() do
        {:ok, module} = Events.module(type)
        event = struct!(module, event_type: type, timestamp: 5, pid: self())
        assert EventStore.store_event(store, event) == :ok
      end

      assert {:ok, events} = EventStore.query_events(store)
      assert Enum.map(events, & &1.event_type) == Events.types()
      assert Enum.all?(events, &(&1.timestamp == 5 and &1.pid == self()))
      assert Enum.all?(events, &Events.event?/1)
    end

    test "keep the fields of a call, and its place", %{store: store} do
      entry = %Events.FunctionEntry{
        timestamp: 1,
        pid: self(),
        module: Enum,
        function: :map,
        arity: 2,
        args: [[1, 2], &is_atom/1],
        file: "lib/enum.ex",
        line: 12,
        clause: 1,
        behaviour: Enumerable
      }

      :ok = EventStore.store_event(store, entry)
      assert {:ok, [stored]} = EventStore.query_events(store, module: Enum, function: :map, arity: 2)
      kept = [:timestamp, :pid, :module, :function, :arity, :args, :file, :line, :clause, :behaviour]
      assert Map.take(stored, kept) == Map.take(entry, kept)
    end

    test "tell calls of one place apart by their behaviour", %{store: store} do
      of = fn behaviour ->
        %Events.FunctionExit{module: Enum, function: :map, arity: 2, behaviour: behaviour}
      end

      :ok = EventStore.store_events(store, Enum.map([Enumerable, nil, GenServer], of))

      assert {:ok, events} = EventStore.query_events(store, module: Enum)
      assert Enum.map(events, & &1.behaviour) == [Enumerable, nil, GenServer]
      assert {:ok, [_]} = EventStore.query_events(store, where: [{[:behaviour], :==, GenServer}])
      assert {:ok, [_, _]} = EventStore.query_events(store, where: [{[:behaviour], :!=, nil}])
    end

    test "keep what a spawned process runs", %{store: store} do
      child = spawn(fn -> :ok end)
      event = %Events.ProcessSpawn{spawned_pid: child, module: Enum, function: :map, args: [[], &is_atom/1]}
      :ok = EventStore.store_events(store, [event, %{event | module: nil, function: nil}])

      assert {:ok, [stored, other]} = EventStore.query_events(store)
      kept = [:spawned_pid, :parent_pid, :module, :function, :args]
      assert Map.take(stored, kept) == Map.take(event, kept)
      assert {other.module, other.function} == {nil, nil}

      assert {:ok, [^stored]} = EventStore.query_events(store, module: Enum, function: :map)
      assert {:ok, [^stored]} = EventStore.query_events(store, where: [{[:module], :==, Enum}])
      assert {:ok, [^other]} = EventStore.query_events(store, where: [{[:function], :==, nil}])
    end

    test "keep all of many events with equal times", %{store: store} do
      events = for n <- 1..3_000, do: %Events.UserEvent{timestamp: 7, pid: self(), name: :n, data: n}
      :ok = EventStore.store_events(store, events)

      assert {:ok, stored} = EventStore.query_events(store, since: 7, until: 7, limit: :infinity)
      assert Enum.map(stored, & &1.data) == Enum.to_list(1..3_000)
      assert {:ok, []} = EventStore.query_events(store, since: 8)
      assert {:ok, []} = EventStore.query_events(store, until: 6)

      assert {:ok, page} = EventStore.query_events(store, after: Enum.at(stored, 99).id, limit: 100)
      assert Enum.map(page, & &1.data) == Enum.to_list(101..200)
    end

    test "answer negative times with until alone", %{store: store} do
      :ok = EventStore.store_event(store, %Events.UserEvent{timestamp: -500, name: :early})
      assert {:ok, [%{name: :early, pid: nil}]} = EventStore.query_events(store, until: -1)
    end

    test "take events in any order of time", %{store: store} do
      times = Enum.shuffle(1..2_000)

      :ok =
        EventStore.store_events(store, for(time <- times, do: %Events.UserEvent{timestamp: time, data: time}))

      assert {:ok, events} = EventStore.query_events(store, since: 500, until: 600)
      assert events |> Enum.map(& &1.data) |> Enum.sort() == Enum.to_list(500..600)
    end

    test "give an event without a time the time of now", %{store: store} do
      before = System.monotonic_time(:nanosecond)
      :ok = EventStore.store_event(store, %Events.UserEvent{name: :now})
      assert {:ok, [%{timestamp: time}]} = EventStore.query_events(store)
      assert time in before..System.monotonic_time(:nanosecond)
    end

    test "answer filters as Enum.filter does", %{store: store} do
      ElixirScope.Test.Generate.seed()
      pids = for _ <- 1..3, do: spawn(fn -> :ok end)

      events =
        for time <- 1..1_500 do
          pid = Enum.random(pids)

          Enum.random([
            %Events.UserEvent{
              timestamp: time,
              pid: pid,
              name: Enum.random([:a, :b]),
              data: %{n: :rand.uniform(9)}
            },
            %Events.PerformanceMetric{timestamp: time, pid: pid, metric_name: :m, value: :rand.uniform(9)},
            %Events.ProcessExit{timestamp: time, pid: pid, exit_reason: Enum.random([:normal, :killed])}
          ])
        end

      :ok = EventStore.store_events(store, events)
      {:ok, all} = EventStore.query_events(store, limit: :infinity)

      for _ <- 1..200 do
        opts =
          Enum.take_random(
            [
              pid: Enum.random(pids),
              event_type: Enum.random([:user_event, :performance_metric, [:process_exit, :user_event]]),
              since: :rand.uniform(1_500),
              limit: Enum.random([1, 10, :infinity]),
              order: Enum.random([:asc, :desc]),
              where: [Enum.random([{[:data, :n], :>, 4}, {[:value], :<, 5}, {[:exit_reason], :==, :killed}])]
            ],
            :rand.uniform(6)
          )

        assert EventStore.query_events(store, opts) == {:ok, Oracle.query(all, opts)}, inspect(opts)
      end
    end

    test "take all events or none", %{store: store} do
      good = %Events.UserEvent{name: :good}

      for {wrong, expected} <- [
            {:no_event, "a struct of ElixirScope.Events"},
            {%{event_type: :user_event}, "a struct of ElixirScope.Events"},
            {%{good | event_type: :process_exit}, "a struct of ElixirScope.Events"},
            {%{good | timestamp: 1.5}, "an event whose timestamp is integer nanoseconds of 64 bits, or nil"},
            {%{good | timestamp: Bitwise.bsl(1, 63)},
             "an event whose timestamp is integer nanoseconds of 64 bits, or nil"},
            {%{good | pid: :me}, "an event whose pid is nil or a process of this node"}
          ] do
        assert {:error, %Error{reason: {:invalid_option, :event, ^wrong, ^expected}}} =
                 EventStore.store_events(store, [good, wrong])
      end

      assert message_of(EventStore.store_events(store, good)) =~
               "invalid value for option :events: expected a list"

      assert EventStore.query_events(store) == {:ok, []}
    end

    test "say which option is wrong", %{store: store} do
      assert message_of(EventStore.query_events(store, limit: 0)) ==
               "invalid value for option :limit: expected a positive integer or :infinity, got: 0"
    end

    test "need no recorder, and do not see its tape", %{store: store} do
      :ok = EventStore.store_event(store, %Events.UserEvent{name: :mine})
      assert {:ok, [%{name: :mine}]} = EventStore.query_events(store)
    end
  end

  describe "start_link/1" do
    test "keeps the store within its bounds" do
      {:ok, store} = EventStore.start_link(max_events: 1_000)
      for _ <- 1..50, do: EventStore.store_events(store, for(n <- 1..1_000, do: %Events.UserEvent{data: n}))
      stats = EventStore.get_index_stats(store)
      assert stats.events <= 1_000
      assert stats.events + stats.evicted == 50_000
      {:ok, events} = EventStore.query_events(store, limit: :infinity)
      assert length(events) == stats.events
      assert List.last(events).data == 1_000

      {:ok, store} = EventStore.start_link(memory_limit: 1_048_576)
      for _ <- 1..60, do: EventStore.store_events(store, for(n <- 1..1_000, do: %Events.UserEvent{data: n}))
      stats = EventStore.get_index_stats(store)
      assert stats.bytes.total <= 1_048_576
    end

    test "registers a name, and stands in a supervision tree" do
      {:ok, _supervisor} =
        Supervisor.start_link([{EventStore, name: :store_of_the_test}], strategy: :one_for_one)

      assert EventStore.store_event(:store_of_the_test, %Events.UserEvent{}) == :ok
      assert EventStore.get_index_stats(:store_of_the_test).events == 1
    end

    test "says which option is wrong" do
      for {opts, message} <- [
            {[memory_limit: 5],
             "invalid value for option :memory_limit: expected an integer of at least 1048576, got: 5"},
            {[max_age_ms: 0],
             "invalid value for option :max_age_ms: expected a positive integer or :infinity, got: 0"},
            {[name: "store"], "invalid value for option :name: expected an atom, got: \"store\""},
            {[size: 5],
             "unknown option :size: expected one of the options :name, :memory_limit, :max_events, :max_age_ms, got the value: 5"}
          ] do
        assert message_of(EventStore.start_link(opts)) == message
      end
    end

    test "shows facts when inspected", %{store: store} do
      :ok = EventStore.store_event(store, %Events.UserEvent{})
      assert inspect(:sys.get_state(store)) == "#ElixirScope.Storage.EventStore<1 events in 1 segments>"
    end
  end
end
