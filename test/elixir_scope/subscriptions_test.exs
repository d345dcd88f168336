defmodule ElixirScope.SubscriptionsTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.Subscriptions.Table

  # A process that records what it is told to, so that the subscriber is another one.
  setup do
    recorder = spawn_link(fn -> record() end)
    %{recorder: recorder}
  end

  defp record do
    receive do
      {from, fun} ->
        fun.()
        send(from, {:recorded, self()})
        record()
    end
  end

  defp record(recorder, fun) do
    send(recorder, {self(), fun})
    assert_receive {:recorded, ^recorder}, 60_000
  end

  describe "subscribe_to_events/1" do
    test "has events sent as they happen, in order", %{recorder: recorder} do
      record(recorder, fn -> Trace.event(:too_early, nil) end)
      assert {:ok, ref} = ElixirScope.subscribe_to_events()
      assert is_reference(ref)

      record(recorder, fn -> for n <- 1..200, do: Trace.event(:n, n) end)

      for n <- 1..200 do
        assert_receive {:elixir_scope_event, %Events.UserEvent{name: :n, data: data, pid: ^recorder}}, 5_000
        assert data == n
      end

      refute_received {:elixir_scope_dropped, _n}
    end

    test "goes on after a pause in the events", %{recorder: recorder} do
      {:ok, _ref} = ElixirScope.subscribe_to_events()

      for n <- 1..20 do
        record(recorder, fn -> Trace.event(:n, n) end)
        assert_receive {:elixir_scope_event, %{data: ^n}}, 5_000
      end
    end

    test "names a message as queries do, and takes no condition on what becomes of it", %{recorder: recorder} do
      me = self()
      {:ok, _ref} = ElixirScope.subscribe_to_events(event_type: :message_send)
      {:ok, trace} = ElixirScope.trace(recorder)
      record(recorder, fn -> send(me, :told) end)
      assert_receive {:elixir_scope_event, %Events.MessageSend{id: id, message: :told, message_id: id}}, 5_000
      assert is_integer(id)
      ElixirScope.untrace(trace)

      for field <- [:received_at, :handled_at, :queue_time_ns] do
        where = [{[:message], :==, :told}, {[field], :>, 5}]

        assert {:error, %{reason: {:invalid_option, :where, _, _}} = error} =
                 ElixirScope.subscribe_to_events(where: where)

        assert Exception.message(error) =~ "no condition on #{inspect(field)}"
        assert Exception.message(error) =~ "get_message_flow/3"
      end
    end

    test "sends what the options ask for", %{recorder: recorder} do
      {:ok, _ref} = ElixirScope.subscribe_to_events(event_type: :user_event, where: [{[:data, :n], :>, 5}])

      record(recorder, fn ->
        for n <- 1..10 do
          Trace.event(:n, %{n: n})
          Trace.metric(:n, n)
        end
      end)

      for n <- 6..10, do: assert_receive({:elixir_scope_event, %{data: %{n: ^n}}}, 5_000)
      refute_received {:elixir_scope_event, _event}
    end

    test "leaves out captured terms when asked to", %{recorder: recorder} do
      {:ok, _ref} = ElixirScope.subscribe_to_events(payload: false)
      record(recorder, fn -> Trace.event(:name, %{big: 1}) end)
      assert_receive {:elixir_scope_event, %Events.UserEvent{name: nil, data: nil, pid: ^recorder}}, 5_000
    end

    test "leaves out the subscriber's own events", %{recorder: recorder} do
      {:ok, _ref} = ElixirScope.subscribe_to_events()
      Trace.event(:mine, nil)
      record(recorder, fn -> Trace.event(:other, nil) end)
      assert_receive {:elixir_scope_event, %{name: :other}}, 5_000
      refute_received {:elixir_scope_event, _mine}
    end

    test "serves several subscriptions of one process, and several processes", %{recorder: recorder} do
      {:ok, _all} = ElixirScope.subscribe_to_events()
      {:ok, _some} = ElixirScope.subscribe_to_events(where: [{[:data], :==, 1}])

      other =
        Task.async(fn ->
          {:ok, _ref} = ElixirScope.subscribe_to_events()
          receive do: ({:elixir_scope_event, event} -> event)
        end)

      until(fn -> ElixirScope.status().subscriptions == 3 end)
      record(recorder, fn -> for n <- 1..2, do: Trace.event(:n, n) end)

      assert Task.await(other).data == 1
      received = for _ <- 1..3, do: assert_receive({:elixir_scope_event, _event}, 5_000)
      assert received |> Enum.map(fn {_, event} -> event.data end) |> Enum.sort() == [1, 1, 2]
    end

    test "ends with its subscriber" do
      task = Task.async(fn -> ElixirScope.subscribe_to_events() end)
      {:ok, ref} = Task.await(task)
      until(fn -> Table.relay(ref) == nil end)
      until(fn -> ElixirScope.status().subscriptions == 0 end)
    end

    test "ends with stop/0" do
      {:ok, ref} = ElixirScope.subscribe_to_events()
      relay = Table.relay(ref)
      ElixirScope.stop()
      until_dead(relay)
      assert Table.relay(ref) == nil

      ElixirScope.start()
      assert ElixirScope.status().subscriptions == 0
    end
  end

  describe "a slow subscriber" do
    test "is not flooded, and is told exactly how much it missed", %{recorder: recorder} do
      {:ok, _ref} = ElixirScope.subscribe_to_events(event_type: :user_event)
      offered = 60_000

      # It reads nothing meanwhile: record/2 only looks for its own message, past those of the subscription.
      for _ <- 1..60 do
        record(recorder, fn -> for n <- 1..1_000, do: Trace.event(:n, n) end)
        {:message_queue_len, waiting} = Process.info(self(), :message_queue_len)
        assert waiting <= 513
      end

      {events, dropped} = receive_all(recorder, 0, 0, offered)
      assert dropped > 0
      lost = ElixirScope.get_events(event_type: :data_loss) |> Enum.map(& &1.count) |> Enum.sum()
      assert events + dropped + lost == offered
    end
  end

  describe "unsubscribe/1" do
    test "ends a subscription at once", %{recorder: recorder} do
      {:ok, ref} = ElixirScope.subscribe_to_events()
      assert ElixirScope.unsubscribe(ref) == :ok
      record(recorder, fn -> Trace.event(:unheard, nil) end)
      assert ElixirScope.count_events(pid: recorder) == 1
      refute_received {:elixir_scope_event, _event}
      assert Table.relay(ref) == nil
      assert ElixirScope.status().subscriptions == 0
    end

    test "can be called from any process, and twice" do
      {:ok, ref} = ElixirScope.subscribe_to_events()
      assert Task.await(Task.async(fn -> ElixirScope.unsubscribe(ref) end)) == :ok
      assert ElixirScope.unsubscribe(ref) == :ok
      assert ElixirScope.unsubscribe(make_ref()) == :ok
    end

    test "refuses what is no reference" do
      assert message_of(ElixirScope.unsubscribe(:all)) ==
               "invalid value for option :ref: expected a reference that ElixirScope.subscribe_to_events/1 answered, got: :all"
    end
  end

  describe "a relay that crashes" do
    for {what, victim} <- [relay: :relay, supervisor: ElixirScope.Subscriptions.Relays] do
      test "is replaced, and what went by meanwhile is told as dropped (the #{what})", %{recorder: recorder} do
        {:ok, ref} = ElixirScope.subscribe_to_events()
        record(recorder, fn -> Trace.event(:n, 1) end)
        assert_receive {:elixir_scope_event, %{data: 1}}, 5_000

        relay = Table.relay(ref)
        victim = if unquote(victim) == :relay, do: relay, else: Process.whereis(unquote(victim))
        Process.exit(victim, :kill)
        record(recorder, fn -> for n <- 2..500, do: Trace.event(:n, n) end)

        until(fn -> Table.relay(ref) not in [relay, nil] end, "a new relay")
        until(fn -> ElixirScope.status().subscriptions == 1 end, "its subscription")
        {events, dropped} = receive_all(recorder, 1, 0, 500)
        assert events + dropped == 500

        record(recorder, fn -> Trace.event(:last, nil) end)
        assert_receive {:elixir_scope_event, %{name: :last}}, 5_000

        assert ElixirScope.unsubscribe(ref) == :ok
      end
    end
  end

  # Counts events and drops until all that was offered has come in the one form or the other, or got lost in the rings.
  defp receive_all(_recorder, events, dropped, offered) when events + dropped >= offered,
    do: {events, dropped}

  defp receive_all(recorder, events, dropped, offered) do
    receive do
      {:elixir_scope_event, %{event_type: :user_event}} -> receive_all(recorder, events + 1, dropped, offered)
      {:elixir_scope_event, %{event_type: :data_loss}} -> receive_all(recorder, events, dropped, offered)
      {:elixir_scope_dropped, n} -> receive_all(recorder, events, dropped + n, offered)
    after
      2_000 -> {events, dropped}
    end
  end
end
