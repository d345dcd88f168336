defmodule ElixirScope.FlowTest do
  use ElixirScope.Test.RecorderCase

  import ElixirScope.Test.RawTrace

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
end
