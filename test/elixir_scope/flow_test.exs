defmodule ElixirScope.FlowTest do
  use ElixirScope.Test.RecorderCase

  import ElixirScope.Test.Flows

  alias ElixirScopeTest.Specimen

  defmodule Echo do
    use GenServer

    def init(arg), do: {:ok, arg}
    def handle_call(request, _from, state), do: {:reply, {:echo, request}, state}
    def handle_cast(_request, state), do: {:noreply, state}
    def handle_info(_message, state), do: {:noreply, state}
  end

  test "calls, casts and plain messages arrive, and answers come back" do
    {:ok, server} = GenServer.start_link(Echo, nil)
    me = self()

    traced([server, me], fn ->
      GenServer.cast(server, :one)
      send(server, :two)
      {:echo, :three} = GenServer.call(server, :three)
    end)

    flow = ElixirScope.get_message_flow(me, server)
    assert Enum.map(flow, &{&1.send_type, &1.message}) == [cast: :one, send: :two, call: :three]

    for sent <- flow do
      assert {sent.sender_pid, sent.receiver_pid, sent.message_id, sent.to_dead} ==
               {me, server, sent.id, false}

      assert sent.received_at >= sent.timestamp
    end

    both = ElixirScope.get_message_flow(me, server, direction: :both)
    assert [_, _, call, reply] = both
    assert %{send_type: :reply, message: {:echo, :three}, sender_pid: ^server, receiver_pid: ^me} = reply
    assert reply.call_ref == call.call_ref and reply.received_at
    assert ElixirScope.get_message_flow(server, me) == [reply]
    assert ElixirScope.get_message_flow(me, server, limit: 1) == [call]
  end

  test "equal messages are told apart by their order, also those that nobody recorded the sending of" do
    {:ok, server} = GenServer.start_link(Echo, nil)
    me = self()

    traced([server, me], fn ->
      for _ <- 1..50, do: send(server, :tick)
      for _ <- 1..50, do: Process.send_after(server, :tick, 0)
      :erlang.start_timer(1, server, :tock)
      other = spawn(fn -> send(server, :tick) end)
      until_dead(other)
      until(fn -> ElixirScope.count_events(pid: server, event_type: :message_receive) == 102 end)
    end)

    sent = ElixirScope.get_message_flow(me, server)
    assert [50] == sent |> Enum.map(& &1.message) |> Enum.frequencies() |> Map.values()
    assert Enum.map(sent, & &1.received_at) == sent |> Enum.map(& &1.received_at) |> Enum.sort()

    all = ElixirScope.get_message_flow(:all, server)
    assert %{send: 51, timer: 51} = Enum.frequencies_by(all, & &1.send_type)
    assert Enum.all?(all, &(&1.received_at && &1.to_dead == false))
    assert length(Enum.uniq_by(all, & &1.message_id)) == 102
  end

  describe "with instrumented callbacks" do
    setup do
      :ok = ElixirScope.instrument(Specimen)

      on_exit(fn ->
        ElixirScope.start()
        ElixirScope.uninstrument(Specimen)
        ElixirScope.stop()
        :code.soft_purge(Specimen)
      end)
    end

    test "a message is handled after it has arrived, and waits between" do
      me = self()
      {:ok, server} = Specimen.start_link(%{})

      traced([server, me], fn ->
        for n <- 1..20, do: Specimen.note(server, rem(n, 2))
        for _ <- 1..5, do: send(server, :plain)
        Specimen.put(server, :cart, 7)
      end)

      flow = ElixirScope.get_message_flow(me, server)
      assert %{cast: 20, send: 5, call: 1} = Enum.frequencies_by(flow, & &1.send_type)
      [%{function: :init} | entries] = all_events(pid: server, event_type: :function_entry)
      assert Enum.map(flow, & &1.handled_at) == Enum.map(entries, & &1.timestamp)

      for sent <- flow do
        assert sent.timestamp <= sent.received_at and sent.received_at <= sent.handled_at
        assert sent.queue_time_ns == sent.handled_at - sent.received_at
      end

      received = all_events(pid: server, event_type: :message_receive)
      assert Enum.map(received, & &1.message_id) == Enum.map(flow, & &1.id)
      assert Enum.map(received, & &1.queue_time_ns) == Enum.map(flow, & &1.queue_time_ns)
      assert all_events(pid: me, event_type: :message_send) == flow
    end

    test "without a trace it is known when a message was sent and handled" do
      {:ok, server} = Specimen.start_link(%{})
      Specimen.note(server, :one)
      Specimen.put(server, :cart, 7)

      # The calls of GenServer in Specimen are instrumented.
      assert [cast, call] = ElixirScope.get_message_flow(self(), server)
      assert {cast.message, call.message} == {{:note, :one}, {:put, :cart, 7}}
      entries = all_events(pid: server, event_type: :function_entry, function: :handle_cast)
      assert [cast.handled_at] == Enum.map(entries, & &1.timestamp)
      assert {cast.received_at, cast.queue_time_ns, cast.to_dead} == {nil, nil, false}
    end

    test "conditions are on what became of messages as well" do
      {:ok, server} = Specimen.start_link(%{})
      for n <- 1..3, do: Specimen.note(server, n)
      Specimen.put(server, :cart, 7)
      [_, second, _, _] = ElixirScope.get_message_flow(self(), server)
      where = [{[:handled_at], :==, second.handled_at}]
      assert ElixirScope.get_message_flow(:all, server, where: where) == [second]
      assert ElixirScope.get_message_flow(:all, :all, where: [{[:message_id], :==, second.id}]) == [second]
      # The events themselves carry the same, and are found by it.
      for condition <- [
            {[:handled_at], :==, second.handled_at},
            {[:message_id], :==, second.id}
          ] do
        opts = [event_type: :message_send, where: [condition]]
        assert ElixirScope.get_events(opts) == [second]
        assert ElixirScope.get_events(opts ++ [limit: 1, order: :desc]) == [second]
        assert ElixirScope.count_events(opts) == 1
      end
    end
  end

  test "a name means who has it, who had it, and what was sent to it" do
    me = self()

    traced([me], fn ->
      {:ok, one} = GenServer.start(Echo, nil, name: :name_of_the_flow)
      GenServer.cast(:name_of_the_flow, 1)
      GenServer.stop(one)
      until(fn -> Process.whereis(:name_of_the_flow) == nil end)
      GenServer.cast(:name_of_the_flow, 2)
      {:ok, two} = GenServer.start(Echo, nil, name: :name_of_the_flow)
      GenServer.cast(two, 3)
      GenServer.stop(two)
    end)

    flow = ElixirScope.get_message_flow(me, :name_of_the_flow, where: [{[:send_type], :==, :cast}])
    assert [{1, false}, {2, true}, {3, false}] = Enum.map(flow, &{&1.message, &1.to_dead})

    assert {:error, %ElixirScope.Error{reason: {:no_process, :nobody}}} =
             ElixirScope.get_message_flow(:nobody, :all)
  end

  test "what the VM sends when processes end is told, and how long they lived" do
    me = self()
    Process.flag(:trap_exit, true)

    {watched, linked} =
      traced([me], fn ->
        {watched, monitor} = spawn_monitor(fn -> receive do: (:end -> exit(:over)) end)
        linked = spawn_link(fn -> exit(:linked) end)
        send(watched, :end)
        receive do: ({:DOWN, ^monitor, _, _, :over} -> :ok)
        receive do: ({:EXIT, ^linked, :linked} -> :ok)
        {watched, linked}
      end)

    assert [%{send_type: :down, message: {:DOWN, ref, :process, ^watched, :over}, call_ref: ref}] =
             ElixirScope.get_message_flow(watched, me)

    assert [%{send_type: :exit}] = ElixirScope.get_message_flow(linked, me)

    for pid <- [watched, linked] do
      assert [%{lifetime_ns: lifetime}] = all_events(pid: pid, event_type: :process_exit)
      assert lifetime > 0
    end
  end

  test "an answer finds its way back to whoever asked, by its reference" do
    me = self()
    {:ok, server} = GenServer.start_link(Echo, nil)
    {:ok, agent} = Agent.start_link(fn -> 7 end)

    traced([server, agent, me], fn ->
      for n <- 1..10, do: GenServer.call(server, rem(n, 3))
      7 = Agent.get(agent, & &1)
      [1, 4, 9] = 1..3 |> Task.async_stream(&(&1 * &1)) |> Enum.map(&elem(&1, 1))
    end)

    calls = ElixirScope.get_message_flow(me, server)
    replies = ElixirScope.get_message_flow(server, me)
    assert Enum.map(calls, & &1.call_ref) == Enum.map(replies, & &1.call_ref)
    assert Enum.all?(calls ++ replies, & &1.received_at)
    assert [%{message: 7}] = ElixirScope.get_message_flow(agent, me)

    everything = ElixirScope.get_message_flow(:all, :all)
    # The code server is not traced.
    assert [] = Enum.reject(everything, &(&1.received_at || &1.receiver_name == :code_server))
  end

  test "where only the server is traced, its answers are to whoever asked" do
    me = self()
    {:ok, server} = GenServer.start_link(Echo, nil)
    traced([server], fn -> {:echo, :one} = GenServer.call(server, :one) end)

    assert [call, reply] = ElixirScope.get_message_flow(me, server, direction: :both)
    assert %{send_type: :call, message: :one, sender_pid: ^me, receiver_pid: ^server} = call
    assert %{send_type: :reply, sender_pid: ^server, receiver_pid: ^me, received_at: nil} = reply
    assert reply.call_ref == call.call_ref
  end

  test "arguments that are none are refused" do
    for {from, to, opts, key} <- [
          {1, :all, [], :from},
          {:all, "a", [], :to},
          {nil, :all, [], :from},
          {[self(), :x | :y], :all, [], :from},
          {:all, :all, [direction: :backwards], :direction},
          {:all, :all, [pid: self()], :pid},
          {:all, :all, [:x], :opts},
          {:all, :all, [limit: 0], :limit}
        ] do
      assert {:error, %ElixirScope.Error{reason: {:invalid_option, ^key, _, _}}} =
               ElixirScope.get_message_flow(from, to, opts)
    end

    remote = :erlang.binary_to_term(<<131, 88, 119, 3, "b@c", 9::32, 0::32, 1::32>>)
    assert ElixirScope.get_message_flow(remote, :all) == {:error, {:remote, :b@c}}
    ElixirScope.stop()
    assert ElixirScope.get_message_flow(:all, :all) == {:error, :not_running}
  end
end
