defmodule ElixirScope.FlowTruthTest do
  # Networks of processes that log what they really did, in a table and not by messages: flows must equal the log.
  use ElixirScope.Test.RecorderCase

  import ElixirScope.Test.Flows

  @moduletag recorder: [
               capture: [buffer_size: 60_000, total_bytes: 64 * 1024 * 1024],
               storage: [memory_limit: 64 * 1024 * 1024]
             ]

  defmodule Hub do
    use GenServer

    def init(log), do: {:ok, log}

    def handle_call({:slow, ms}, from, log) do
      log(log, {:handled, self(), {:slow, ms}})
      Process.send_after(self(), {:answer, from}, ms)
      {:noreply, log}
    end

    def handle_call(request, _from, log) do
      log(log, {:handled, self(), request})
      {:reply, request, log}
    end

    def handle_cast(request, log) do
      log(log, {:handled, self(), request})
      {:noreply, log}
    end

    def handle_info({:answer, from}, log) do
      GenServer.reply(from, :late)
      {:noreply, log}
    end

    def handle_info(message, log) do
      log(log, {:handled, self(), message})
      {:noreply, log}
    end

    def log(table, entry), do: :ets.insert(table, {System.unique_integer([:monotonic]), entry})
  end

  defp log(table, entry), do: Hub.log(table, entry)

  setup do
    {:ok, log: :ets.new(:log, [:ordered_set, :public])}
  end

  defp entries(log, kind), do: for({_at, entry} <- :ets.tab2list(log), elem(entry, 0) == kind, do: entry)

  defp post(log, to, message) do
    log(log, {:sent, self(), to, message})
    send(to, message)
  end

  # What each process sent to each other one, in order, with the place of its arrival among all arrivals there.
  defp assert_flows(log, pids) do
    sent = log |> entries(:sent) |> Enum.group_by(fn {_, from, to, _} -> {from, to} end, &elem(&1, 3))

    for from <- pids, to <- pids do
      flow =
        ElixirScope.get_message_flow(from, to, limit: :infinity, where: [{[:send_type], :in, [:send, :cast]}])

      assert Enum.map(flow, & &1.message) == Map.get(sent, {from, to}, [])
      assert Enum.all?(flow, &(&1.received_at >= &1.timestamp))
      times = Enum.map(flow, & &1.received_at)
      assert times == Enum.sort(times)
    end

    got = log |> entries(:got) |> Enum.group_by(&elem(&1, 1), &elem(&1, 2))

    for to <- pids, messages = got[to] do
      arrivals = all_events(pid: to, event_type: :message_receive)
      assert Enum.map(arrivals, & &1.message) == messages
      ids = Enum.map(arrivals, & &1.message_id)
      assert Enum.all?(ids, &is_integer/1)
      assert ids == Enum.uniq(ids)
    end

    assert ElixirScope.status().capture.lost == %{}
  end

  test "tokens that are all equal go round in a ring", %{log: log} do
    me = self()

    ring =
      traced([me], fn ->
        ring =
          for _ <- 1..5 do
            spawn_link(fn ->
              next = receive do: ({:next, next} -> next)
              log(log, {:got, self(), {:next, next}})
              forward(log, next, 300)
              receive do: (:end -> :ok)
            end)
          end

        for {pid, next} <- Enum.zip(ring, tl(ring) ++ [hd(ring)]), do: post(log, pid, {:next, next})
        for _ <- 1..3, do: post(log, hd(ring), :token)
        until(fn -> length(entries(log, :got)) == 5 * 301 end)
        ring
      end)

    # The three that are left over arrived and were not taken out.
    [first | _] = ring
    extra = all_events(pid: first, event_type: :message_receive) |> length()
    assert extra in 301..304
    sent = log |> entries(:sent) |> Enum.frequencies_by(fn {_, from, to, _} -> {from, to} end)

    for {{from, to}, count} <- sent do
      flow = ElixirScope.get_message_flow(from, to, limit: :infinity)
      assert length(flow) == count
      received = flow |> Enum.map(& &1.received_at) |> Enum.take_while(& &1)
      assert length(received) >= count - 4
      assert received == Enum.sort(received)
    end

    for pid <- ring, do: send(pid, :end)
  end

  defp forward(_log, _next, 0), do: :ok

  defp forward(log, next, left) do
    receive do
      :token -> log(log, {:got, self(), :token})
    end

    post(log, next, :token)
    forward(log, next, left - 1)
  end

  test "a star of senders of equal messages, of which each knows its own", %{log: log} do
    me = self()

    {hub, senders} =
      traced([me], fn ->
        hub =
          spawn_link(fn ->
            for _ <- 1..1_000 do
              receive do: (message -> log(log, {:got, self(), message}))
            end

            receive do: (:end -> :ok)
          end)

        senders =
          for _ <- 1..10 do
            spawn_link(fn ->
              for n <- 1..100, do: post(log, hub, rem(n, 2))
              receive do: (:end -> :ok)
            end)
          end

        until(fn -> length(entries(log, :got)) == 1_000 end)
        {hub, senders}
      end)

    assert_flows(log, [hub | senders])
    all = ElixirScope.get_message_flow(senders, hub, limit: :infinity)
    assert length(all) == 1_000
    assert ElixirScope.get_message_flow(senders, hub, limit: 7) == Enum.take(all, -7)
    for pid <- [hub | senders], do: send(pid, :end)
  end

  test "calls, some of which nobody waits for the answers of, and tasks", %{log: log} do
    me = self()

    {hub, answers} =
      traced([me], fn ->
        {:ok, hub} = GenServer.start_link(Hub, log)

        answers =
          1..20
          |> Task.async_stream(
            fn n ->
              try do
                GenServer.call(
                  hub,
                  if(rem(n, 4) == 0, do: {:slow, 60}, else: n),
                  if(rem(n, 4) == 0, do: 5, else: 5_000)
                )
              catch
                :exit, {:timeout, _} -> :gave_up
              end
            end,
            max_concurrency: 4
          )
          |> Enum.map(&elem(&1, 1))

        # Whatever was late has been sent by now.
        until(fn ->
          ElixirScope.count_events(pid: hub, event_type: :message_send, where: [{[:message], :==, :late}]) ==
            5
        end)

        {hub, answers}
      end)

    assert Enum.count(answers, &(&1 == :gave_up)) == 5
    calls = ElixirScope.get_message_flow(:all, hub, where: [{[:send_type], :==, :call}])
    handled = for {:handled, _, request} <- entries(log, :handled), do: request
    assert calls |> Enum.sort_by(& &1.received_at) |> Enum.map(& &1.message) == handled
    assert Enum.all?(calls, & &1.received_at)

    replies = ElixirScope.get_message_flow(hub, :all, where: [{[:send_type], :==, :reply}])
    by_ref = Map.new(calls, &{&1.call_ref, &1})
    assert length(replies) == 20

    for reply <- replies do
      call = Map.fetch!(by_ref, reply.call_ref)
      assert reply.receiver_pid == call.sender_pid

      # An alias that is no more takes nothing in.
      if reply.message == :late do
        assert reply.received_at == nil
      else
        assert reply.message == call.message and reply.received_at >= call.received_at
      end
    end
  end

  test "selective receive and equal messages from many at once, each of them once", %{log: log} do
    me = self()

    {sink, sources} =
      traced([me], fn ->
        sink =
          spawn_link(fn ->
            receive do: (:go -> log(log, {:taken, self(), :go}))
            for _ <- 1..300, do: receive(do: (:b -> :ok))
            for _ <- 1..300, do: receive(do: (:a -> :ok))
            log(log, {:done, self()})
            receive do: (:end -> :ok)
          end)

        sources =
          for _ <- 1..3 do
            spawn_link(fn ->
              for n <- 1..200, do: post(log, sink, if(rem(n, 2) == 0, do: :a, else: :b))
              receive do: (:end -> :ok)
            end)
          end

        post(log, sink, :go)
        until(fn -> entries(log, :done) != [] end)
        {sink, sources}
      end)

    assert_flows(log, [sink, me | sources])
    all = ElixirScope.get_message_flow(:all, sink, limit: :infinity)
    assert length(Enum.uniq_by(all, & &1.message_id)) == 601
    arrivals = all_events(pid: sink, event_type: :message_receive) |> Enum.map(& &1.message_id) |> Enum.sort()
    assert arrivals == all |> Enum.map(& &1.message_id) |> Enum.sort()
    for pid <- [sink | sources], do: send(pid, :end)
  end
end
