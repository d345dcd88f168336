defmodule ElixirScope.MutedTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.{Muted, Native}
  alias ElixirScope.Test.RecordingCalendar

  @doors [
    &ElixirScope.get_events/1,
    &ElixirScope.count_events/1,
    &ElixirScope.subscribe_to_events/1,
    &ElixirScope.Query.Engine.explain/1
  ]

  # those that take a time or the options of a history
  defp doors(time) do
    for(door <- @doors, do: fn -> door.(since: time) end) ++
      [
        fn -> ElixirScope.get_state_at(self(), time) end,
        fn -> ElixirScope.get_state_history(self(), since: time) end,
        fn -> ElixirScope.get_state_diff(self(), time, :last) end,
        fn -> ElixirScope.last_change(self(), [], before: time) end
      ]
  end

  defp recorded?, do: ElixirScope.count_events(where: [{[:name], :==, :inside_the_front_door}]) > 0

  describe "a process inside a front-door call" do
    test "leaves no event, whatever code that call runs" do
      time = %{~U[2024-01-01 00:00:00Z] | calendar: RecordingCalendar}
      for door <- doors(time), do: door.()
      refute recorded?()

      # The same code outside of the door does.
      DateTime.to_unix(time)
      assert recorded?()
    end

    test "records again when code in that call has thrown" do
      time = %{~U[2024-01-01 00:00:00Z] | calendar: RecordingCalendar, year: 1999}
      for door <- doors(time), do: assert(catch_throw(door.()) == :no_such_year)
      refute recorded?()

      Trace.event(:afterwards, nil)
      assert %{name: :afterwards} = the_event()
    end
  end

  describe "what befalls a process inside a front-door call" do
    test "is recorded: messages that arrive, names that it is given, and its end" do
      me = self()

      asking =
        spawn(fn ->
          Muted.run(fn ->
            send(me, :inside)
            receive do: (:anything -> Native.status())
            send(me, :taken)
            receive do: (:nothing -> :ok)
          end)
        end)

      assert_receive :inside
      {:ok, _ref} = ElixirScope.trace(asking)
      send(asking, :anything)
      assert_receive :taken
      Process.register(asking, :asking_us)
      Process.unregister(:asking_us)
      Process.exit(asking, :kill)
      until_dead(asking)

      assert [
               message_receive: :anything,
               process_register: :asking_us,
               process_unregister: :asking_us,
               process_exit: :killed
             ] = for(event <- all_events(pid: asking), do: {event.event_type, what(event)})
    end

    defp what(%{message: message}), do: message
    defp what(%{name: name}), do: name
    defp what(%{exit_reason: reason}), do: reason

    test "is not what one of ours answers" do
      {:ok, ref} = ElixirScope.trace(self())
      %{traces: [%{ref: ^ref}]} = ElixirScope.status()
      ElixirScope.untrace(ref)
      assert all_events(pid: self()) == []
    end
  end

  describe "processes of ours" do
    test "leave no event, whatever code they run" do
      {:ok, child} = ElixirScope.start_link()
      {:ok, ref} = ElixirScope.subscribe_to_events()
      {:ok, store} = ElixirScope.Storage.EventStore.start_link()
      {:ok, bridge} = ElixirScope.Capture.TemporalBridge.start_link()
      {:ok, agent} = Agent.start_link(fn -> 0 end)
      {:ok, _watch} = ElixirScope.watch(agent)

      for process <- [
            ElixirScope.Patience.root(),
            ElixirScope.Recorder.Server,
            ElixirScope.Performance.Monitor,
            ElixirScope.Subscriptions.Supervisor,
            ElixirScope.Subscriptions.Relays,
            ElixirScope.Subscriptions.Table.relay(ref),
            ElixirScope.Watch.Followers,
            ElixirScope.Watch.Table.follower(agent),
            child,
            bridge,
            store
          ] do
        :sys.replace_state(process, fn state ->
          Trace.event(:inside_the_front_door, process)

          Trace.span "inside" do
            Trace.snapshot()
          end

          state
        end)
      end

      assert Enum.reject(all_events(), &(&1.pid == agent)) == []
      GenServer.stop(child)
    end
  end

  describe "Muted.run/1" do
    test "nests" do
      Muted.run(fn ->
        Muted.run(fn -> Trace.event(:inner, nil) end)
        Trace.event(:outer, nil)
      end)

      Trace.event(:outside, nil)
      assert %{name: :outside} = the_event()
    end

    test "mutes its own process only" do
      Muted.run(fn -> until_dead(spawn(fn -> Trace.event(:another, nil) end)) end)
      assert [%{name: :another}] = all_events()
    end

    test "holds over a new start of the recorder" do
      Muted.run(fn ->
        ElixirScope.stop()
        ElixirScope.start()
        Trace.event(:muted, nil)
      end)

      assert all_events() == []
    end

    test "has no effect on a process that unmutes more than it muted" do
      Native.unmute()
      Muted.run(fn -> Trace.event(:muted, nil) end)
      Trace.event(:heard, nil)
      assert %{name: :heard} = the_event()
    end
  end
end
