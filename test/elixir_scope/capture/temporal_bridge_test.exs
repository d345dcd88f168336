defmodule ElixirScope.Capture.TemporalBridgeTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.Capture.TemporalBridge
  alias ElixirScope.Error
  alias ElixirScope.Test.NoTimes
  alias ElixirScopeTest.Specimen
  alias ElixirScopeTest.Watchable.Counter

  doctest TemporalBridge

  defp bridge(opts \\ []) do
    {:ok, bridge} = TemporalBridge.start_link(opts)
    bridge
  end

  defp instrument do
    on_exit(fn ->
      ElixirScope.start()
      ElixirScope.uninstrument(Specimen)
      ElixirScope.stop()
      :code.soft_purge(Specimen)
    end)

    :ok = ElixirScope.instrument(Specimen, strategy: :full_trace)
  end

  # All events that a walk meets, until it stops.
  defp walk(bridge, what) do
    case TemporalBridge.step(bridge, what) do
      {:ok, event} ->
        {events, stop} = walk(bridge, what)
        {[event | events], stop}

      {:error, stop} ->
        {[], stop}
    end
  end

  describe "a bridge" do
    test "walks over all events, forwards and backwards, each once" do
      for n <- 1..50, do: Trace.event(:n, n)
      bridge = bridge()
      assert {:ok, %{event: %{data: 1}, event_id: id}} = TemporalBridge.seek(bridge, :first)
      assert {events, :end_of_tape} = walk(bridge, :event)
      assert Enum.map(events, & &1.data) == Enum.to_list(2..50)
      assert {events, :start_of_tape} = walk(bridge, {:back, :event})
      assert Enum.map(events, & &1.data) == Enum.to_list(49..1//-1)
      assert {:ok, %{event_id: ^id}} = TemporalBridge.position(bridge)
    end

    test "begins at the newest event, and sees what is recorded while it stands there" do
      Trace.event(:n, 1)
      bridge = bridge()
      assert {:ok, %{event: %{data: 1}}} = TemporalBridge.position(bridge)
      assert TemporalBridge.step(bridge) == {:error, :end_of_tape}
      Trace.event(:n, 2)
      assert {:ok, %{data: 2}} = TemporalBridge.step(bridge)
    end

    test "stands before all events where there are none" do
      bridge = bridge()
      assert {:ok, %{event: nil, event_id: nil}} = TemporalBridge.position(bridge)
      assert TemporalBridge.step(bridge, {:back, :event}) == {:error, :start_of_tape}
      before = ElixirScope.now()
      Trace.event(:n, 1)
      assert {:ok, %{data: 1}} = TemporalBridge.step(bridge)
      assert {:ok, %{event: nil, time: ^before}} = TemporalBridge.seek(bridge, before)
      assert {:ok, %{data: 1}} = TemporalBridge.step(bridge, {:forward, :event})
    end

    test "goes to the newest event at or before a time, to one by its id, or to itself" do
      for n <- 1..3, do: Trace.event(:n, n)
      [one, two, three] = all_events()
      bridge = bridge()

      for {to, event} <- [
            {two.timestamp, two},
            {three.timestamp - 1, two},
            {{:event, one.id}, one},
            {two, two},
            {DateTime.utc_now(), three}
          ] do
        assert {:ok, %{event: ^event}} = TemporalBridge.seek(bridge, to)
      end

      assert {:ok, %{time: time}} = TemporalBridge.seek(bridge, three.timestamp + 5)
      assert time == three.timestamp + 5
    end

    test "steps by call, by change of a state, and by message" do
      instrument()
      {:ok, server} = Specimen.start_link(%{})
      Specimen.put(server, :a, 1)
      Specimen.put(server, :b, 2)
      bridge = bridge(pid: server)
      TemporalBridge.seek(bridge, :first)

      {calls, :end_of_tape} = walk(bridge, :call)
      assert [:handle_call, :handle_call] = Enum.map(calls, & &1.function)
      {:ok, _end} = TemporalBridge.seek(bridge, :last)
      {changes, :start_of_tape} = walk(bridge, {:back, :state_change})
      assert Enum.map(changes, & &1.trigger_message) == [{:put, :b, 2}, {:put, :a, 1}, nil]

      here = bridge(pid: self())
      TemporalBridge.seek(here, :first)
      {messages, :end_of_tape} = walk(here, :message)
      assert Enum.map(messages, & &1.message) == [{:put, :a, 1}, {:put, :b, 2}]
    end

    test "disturbs no other one, nor the recording" do
      for n <- 1..10, do: Trace.event(:n, n)
      count = ElixirScope.count_events()
      one = bridge()
      two = bridge(name: :a_bridge)
      TemporalBridge.seek(one, :first)
      TemporalBridge.seek(:a_bridge, :last)
      assert {:ok, %{data: 2}} = TemporalBridge.step(one)
      assert {:ok, %{data: 9}} = TemporalBridge.step(two, {:back, :event})
      assert {:ok, %{data: 3}} = TemporalBridge.step(one)
      assert ElixirScope.count_events() == count
      assert message_of(ElixirScope.watch(one)) =~ "one of ElixirScope's own"
    end

    test "tells what it has done" do
      Trace.event(:n, 1)
      bridge = bridge()
      TemporalBridge.seek(bridge, :first)
      TemporalBridge.step(bridge)
      TemporalBridge.step(bridge, {:back, :event})
      [%{id: id}] = all_events()
      assert %{seeks: 1, steps: 0, position: ^id, timelines: %{}} = TemporalBridge.get_stats(bridge)
    end

    test "answers what a time window holds" do
      for n <- 1..5, do: Trace.event(:n, n)
      [_one, two, _three, four, _five] = all_events()
      bridge = bridge()
      {:ok, events} = TemporalBridge.get_events_in_range(bridge, two.timestamp, four.timestamp)
      assert Enum.map(events, & &1.data) == [2, 3, 4]

      assert message_of(TemporalBridge.get_events_in_range(bridge, 2, 1)) =~ "a time not before :since"
    end

    test "refuses what it does not know" do
      bridge = bridge()
      assert message_of(TemporalBridge.seek(bridge, :end)) =~ ":first or :last"

      for wrong <- NoTimes.all() do
        assert {:error, %Error{reason: {:invalid_option, :to, ^wrong, _expected}}} =
                 TemporalBridge.seek(bridge, wrong)

        assert {:error, %Error{reason: {:invalid_option, :time, ^wrong, _expected}}} =
                 TemporalBridge.reconstruct_state_at(bridge, wrong)
      end

      assert message_of(TemporalBridge.seek(bridge, {:event, 0})) =~ "with the id of an event"
      assert {:error, %Error{reason: {:no_event, 77}}} = TemporalBridge.seek(bridge, {:event, 77})
      # an event that somebody made
      assert {:error, %Error{}} = TemporalBridge.seek(bridge, %ElixirScope.Events.StateChange{id: nil})
      assert message_of(TemporalBridge.step(bridge, :line)) =~ "one of :event, :call, :state_change, :message"
      assert message_of(TemporalBridge.step(bridge, {:up, :call})) =~ "{:back, kind}"
      assert message_of(TemporalBridge.trace_execution_path(bridge, :last)) =~ "an event, or its id"
      assert {:error, %Error{reason: {:no_event, 77}}} = TemporalBridge.trace_execution_path(bridge, 77)
      assert message_of(TemporalBridge.start_link(pid: :all, step: 1)) =~ "unknown option :step"
      assert message_of(TemporalBridge.reconstruct_state_at(bridge, "now")) =~ "or :last"
    end

    @tag recorder: false
    test "answers that nothing runs" do
      bridge = bridge()

      for answer <- [
            TemporalBridge.seek(bridge, :first),
            TemporalBridge.step(bridge),
            TemporalBridge.position(bridge),
            TemporalBridge.states(bridge),
            TemporalBridge.stacks(bridge),
            TemporalBridge.alive(bridge),
            TemporalBridge.reconstruct_state_at(bridge, 0),
            TemporalBridge.trace_execution_path(bridge, 1),
            TemporalBridge.get_events_in_range(bridge, 0, 1),
            TemporalBridge.get_stats(bridge)
          ],
          do: assert(answer == {:error, :not_running})
    end
  end

  describe "trace_execution_path/2" do
    test "leads from the first cause over calls and messages to the event" do
      instrument()
      {:ok, server} = Specimen.start_link(%{})

      Trace.span "checkout", %{} do
        Specimen.put(server, :a, 1)
      end

      [_first, change] = all_events(event_type: :state_change, pid: server)
      {:ok, path} = TemporalBridge.trace_execution_path(bridge(), change)

      assert [
               {:span_start, "checkout"},
               {:function_entry, :put},
               {:message_send, {:put, :a, 1}},
               {:function_entry, :handle_call},
               {:state_change, :handle_call}
             ] =
               Enum.map(path, fn event ->
                 {event.event_type,
                  Map.get(event, :name) || Map.get(event, :function) || Map.get(event, :message) ||
                    Map.get(event, :callback)}
               end)

      assert TemporalBridge.trace_execution_path(bridge(), change.id) == {:ok, path}
    end

    test "of what stands for itself is that alone" do
      Trace.event(:alone, nil)
      assert {:ok, [%{name: :alone}]} = TemporalBridge.trace_execution_path(bridge(), the_event())
    end
  end

  describe "the position" do
    test "has the states of all processes then" do
      {:ok, one} = Counter.start_link(0)
      {:ok, two} = Counter.start_link(0)
      for counter <- [one, two], do: {:ok, _ref} = ElixirScope.watch(counter)

      instants =
        for n <- 1..5 do
          for counter <- [one, two], do: GenServer.call(counter, {:add, n})
          for counter <- [one, two], do: GenServer.call(counter, :get)
          {ElixirScope.now(), :sys.get_state(one), :sys.get_state(two)}
        end

      bridge = bridge()

      for {time, first, second} <- Enum.shuffle(instants) do
        {:ok, _position} = TemporalBridge.seek(bridge, time)
        assert {:ok, %{^one => ^first, ^two => ^second}} = TemporalBridge.states(bridge)
        assert {:ok, %{^one => ^first}} = TemporalBridge.reconstruct_state_at(bridge, time)
      end
    end

    test "has the calls that were open, and what each process was doing" do
      instrument()
      {:ok, server} = Specimen.start_link(%{})
      since = ElixirScope.now()
      Specimen.twice(21)
      bridge = bridge(pid: self())
      {:ok, _position} = TemporalBridge.seek(bridge, since)
      {:ok, %{function: :twice}} = TemporalBridge.step(bridge, :call)
      {:ok, stacks} = TemporalBridge.stacks(bridge)
      assert [%{function: :twice, args: [21]}] = stacks[self()]
      {:ok, %{function: :add}} = TemporalBridge.step(bridge, :call)
      {:ok, stacks} = TemporalBridge.stacks(bridge)
      assert [%{function: :add, args: [21, 21]} | _] = stacks[self()]
      {:ok, alive} = TemporalBridge.alive(bridge)
      assert %{alive: true, doing: %{function: :add}} = alive[self()]
      assert %{alive: true, doing: nil} = alive[server]

      {:ok, _position} = TemporalBridge.seek(bridge, :last)
      {:ok, stacks} = TemporalBridge.stacks(bridge)
      refute is_map_key(stacks, self())
    end
  end
end
