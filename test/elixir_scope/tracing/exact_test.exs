defmodule ElixirScope.Tracing.ExactTest do
  # Tokens of the VM decide which message is which, where neither what it says nor its order can.
  use ElixirScope.Test.RecorderCase

  import ElixirScope.Test.Traces
  import ElixirScope.Test.Wait

  alias ElixirScope.Error
  alias ElixirScopeTest.Specimen
  alias ElixirScope.Tracing.{Server, Tokens}

  @limits [for: 60_000, max: 1_000_000, rate: 1_000_000]

  setup do
    on_exit(fn ->
      ElixirScope.untrace(:all)
      assert_nothing_left()
    end)
  end

  defp exactly(pids, fun, opts \\ []) do
    {:ok, ref} = ElixirScope.trace(pids, [causality: :exact] ++ opts ++ @limits)

    try do
      fun.()
    after
      :ok = ElixirScope.untrace(ref)
    end
  end

  # Takes these messages, and no others, in this order.
  defp takes(pid, messages),
    do: run(pid, fn -> for message <- messages, do: receive(do: (^message -> message)) end)

  defp sends(pid, to, messages), do: run(pid, fn -> for message <- messages, do: send(to, message) end)

  defp taken(pid),
    do: for(event <- all_events(event_type: :message_taken, pid: pid), not tool?(event), do: event)

  # What has the workers work.
  defp tool?(%{message: message}), do: match?({_from, _ref, fun} when is_function(fun), message)

  describe "a message" do
    test "is known when it is taken, wherever it stood in the mailbox" do
      [sender, receiver] = [worker(), worker()]
      order = for n <- [4, 1, 5, 2, 3], do: {:n, n}

      exactly([sender, receiver], fn ->
        sends(sender, receiver, Enum.sort(order))
        takes(receiver, order)
      end)

      assert Enum.map(taken(receiver), & &1.message) == order
      sent = Map.new(ElixirScope.get_message_flow(sender, receiver), &{&1.message, &1})
      arrived = Map.new(all_events(event_type: :message_receive, pid: receiver), &{&1.message, &1})

      for event <- taken(receiver) do
        send = Map.fetch!(sent, event.message)
        arrival = Map.fetch!(arrived, event.message)
        assert event.message_id == send.id and event.sender_pid == sender and event.receiver_pid == receiver
        assert send.handled_at == event.timestamp and send.received_at == arrival.timestamp
        assert event.queue_time_ns == event.timestamp - arrival.timestamp
        assert send.queue_time_ns == event.queue_time_ns and arrival.queue_time_ns == event.queue_time_ns
      end

      # What they carry they are found by.
      waited = [
        event_type: [:message_send, :message_receive],
        where: [{[:queue_time_ns], :<, 60_000_000_000}]
      ]

      found = ElixirScope.get_events(waited)
      assert Enum.count(found, &match?(%{message: {:n, _}}, &1)) == 10
      assert Enum.all?(found, &(is_integer(&1.queue_time_ns) and &1.queue_time_ns >= 0))
      assert ElixirScope.count_events(waited) == length(found)
      assert ElixirScope.get_events(waited ++ [limit: 3]) == Enum.take(found, -3)

      assert [_ | _] =
               ElixirScope.get_events(
                 event_type: :message_send,
                 where: [{[:received_at], :<, ElixirScope.now()}]
               )
    end

    test "is told from equal ones of other senders, each by its own" do
      receiver = worker()
      senders = for _ <- 1..4, do: worker()

      exactly([receiver | senders], fn ->
        for sender <- Enum.concat(List.duplicate(senders, 5)), do: sends(sender, receiver, [:same])
        takes(receiver, List.duplicate(:same, 20))
      end)

      expected = senders |> List.duplicate(5) |> Enum.concat()
      assert Enum.map(taken(receiver), & &1.sender_pid) == expected
      flows = for sender <- senders, do: {sender, ElixirScope.get_message_flow(sender, receiver)}

      for {sender, flow} <- flows do
        of_sender = Enum.filter(taken(receiver), &(&1.sender_pid == sender))
        assert Enum.map(of_sender, & &1.message_id) == Enum.map(flow, & &1.id)
        assert Enum.map(of_sender, & &1.timestamp) == Enum.map(flow, & &1.handled_at)
      end
    end

    test "of somebody who is not traced has no sending" do
      [stranger, sender, receiver] = for _ <- 1..3, do: worker()

      exactly([sender, receiver], fn ->
        # With a token, which it has from the sender.
        sends(sender, stranger, [:hello])
        takes(stranger, [:hello])
        run(stranger, fn -> send(receiver, :by_the_way) end)
        takes(receiver, [:by_the_way])
      end)

      assert taken(stranger) == []

      for event <- taken(receiver) do
        assert %{message: :by_the_way, message_id: nil, sender_pid: ^stranger} = event
      end
    end
  end

  describe "held against what really happened:" do
    # The relay takes what two senders of equal messages sent, and sends it on; of one send there is no record.
    defp relayed(opts) do
      [relay, sink, one, two] = all = for _ <- 1..4, do: worker()
      {:ok, ref} = ElixirScope.trace(all, opts ++ @limits)
      sends(one, relay, [:same])
      ElixirScope.pause()
      sends(two, relay, [:same])
      ElixirScope.resume()
      for sender <- [one, two, two, one], do: sends(sender, relay, [:same])

      for _ <- 1..6 do
        run(relay, fn -> receive do: (:same -> send(sink, :same)) end)
        takes(sink, [:same])
      end

      :ok = ElixirScope.untrace(ref)
      %{relay: relay, sink: sink, log: [one, two, one, two, two, one]}
    end

    defp ids(sender, to), do: Enum.map(ElixirScope.get_message_flow(sender, to), & &1.id)

    test "where a send is lost, order cannot say which is which, and tokens do" do
      %{relay: relay} = relayed([])
      arrivals = all_events(event_type: :message_receive, pid: relay, where: [{[:message], :==, :same}])
      assert :ambiguous in Enum.map(arrivals, & &1.message_id)

      %{relay: relay, sink: sink, log: log} = relayed(causality: :exact)
      assert Enum.map(taken(relay), & &1.sender_pid) == log
      [one, two] = Enum.uniq(log)
      [one_1, one_2, one_3] = ids(one, relay)
      [two_2, two_3] = ids(two, relay)
      # The lost one is the only one that is not known, and says so.
      assert Enum.map(taken(relay), & &1.message_id) == [one_1, :ambiguous, one_2, two_2, two_3, one_3]

      # What the relay sent on goes back to what it took just before, and to no other.
      on = ElixirScope.get_message_flow(relay, sink)

      for {send, take} <- Enum.zip(on, taken(relay)), take.message_id != :ambiguous do
        causes = for %{event_type: :message_send} = cause <- ElixirScope.trace_causes(send.id), do: cause.id
        assert take.message_id in causes
        assert causes -- [take.message_id | ids(self(), relay)] == []
        effects = Enum.map(ElixirScope.trace_effects(take.message_id), & &1.id)
        assert send.id in effects
        refute Enum.any?(on, &(&1.id != send.id and &1.id in effects))
      end
    end

    test "what followed from a message bears its root, in processes that record nothing themselves" do
      [one, two, relay, sink] = all = for _ <- 1..4, do: worker()

      exactly(all, fn ->
        for sender <- [one, two, two, one] do
          sends(sender, relay, [:same])
          run(relay, fn -> receive do: (:same -> send(sink, :on)) end)
          takes(sink, [:on])
        end
      end)

      roots =
        for sender <- [one, two], send <- ElixirScope.get_message_flow(sender, relay), do: send.correlation_id

      assert Enum.all?(roots, &is_integer/1)

      for root <- Enum.uniq(roots) do
        events = all_events(correlation_id: root, where: [{[:message], :in, [:same, :on]}])
        kinds = events |> Enum.map(& &1.event_type) |> Enum.sort() |> Enum.uniq()
        assert kinds == [:message_send, :message_taken]
        # Not those of the workers' answers.
        sends = for %{send_type: :send} = event <- events, do: {event.pid, event.message}
        # A sender goes on with the token that it has, until it takes a message without one.
        assert [{sender, :same} | _] = sends
        assert Enum.all?(sends, &(&1 in [{sender, :same}, {relay, :on}]))
        assert Enum.count(sends, &(&1 == {relay, :on})) == Enum.count(sends, &(&1 == {sender, :same}))
      end
    end
  end

  describe "an instrumented callback" do
    setup do
      :ok = ElixirScope.instrument(Specimen, functions: :all, state: true)
      on_exit(fn -> ElixirScope.uninstrument(Specimen) end)
    end

    # Equal messages of calls in two processes, all on their way at the same time; of the second nothing is recorded.
    defp handled(opts) do
      [one, two] = [worker(), worker()]
      {:ok, server} = Specimen.start_link(%{})
      {:ok, ref} = ElixirScope.trace([one, two, server], opts ++ @limits)
      :sys.suspend(server)
      note = fn -> Trace.span("work", do: GenServer.cast(server, {:note, :same})) end
      run(two, note)
      ElixirScope.pause()
      run(one, note)
      ElixirScope.resume()
      for sender <- [one, two], do: run(sender, note)
      :sys.resume(server)
      Specimen.put(server, :done, true)
      :ok = ElixirScope.untrace(ref)
      spans = for sender <- [one, two], do: all_events(pid: sender, event_type: :span_start)

      {Enum.map(spans, fn of_one -> Enum.map(of_one, & &1.correlation_id) end),
       all_events(pid: server, event_type: :function_entry, function: :handle_cast)}
    end

    test "goes back to the call that its message came from" do
      {_spans, entries} = handled([])
      assert [:ambiguous, _, :ambiguous, _] = Enum.map(entries, & &1.correlation_id)
      {[[third], [first, fourth]], entries} = handled(causality: :exact)
      assert [^first, :ambiguous, ^third, ^fourth] = Enum.map(entries, & &1.correlation_id)
    end
  end

  describe "the system tracer" do
    test "of somebody else is left alone, and the trace refused" do
      somebody = spawn_link(fn -> receive do: (:end -> :ok) end)
      :seq_trace.set_system_tracer(somebody)
      on_exit(fn -> :seq_trace.set_system_tracer(false) end)

      assert {:error, %Error{reason: {:traced_by_other, :seq_trace}} = error} =
               ElixirScope.trace(worker(), causality: :exact)

      assert Exception.message(error) =~
               "system tracer of :seq_trace, of which a node has one, is taken (#{inspect(somebody)})"

      assert :seq_trace.get_system_tracer() == somebody
      assert {:ok, ref} = ElixirScope.trace(worker())
      assert %{causality: :order} = the_trace()
      ElixirScope.untrace(ref)
      :seq_trace.set_system_tracer(false)
      assert_nothing_left()
      send(somebody, :end)
    end

    test "is ours until the last exact trace ends" do
      [a, b] = [worker(), worker()]
      {:ok, first} = ElixirScope.trace(a, causality: :exact)
      {:ok, second} = ElixirScope.trace(b, [causality: :exact] ++ @limits)
      ElixirScope.untrace(first)
      assert :seq_trace.get_system_tracer() == {ElixirScope.Native, 0}
      sends(b, a, [:late])
      takes(a, [:late])
      assert taken(b) == []
      ElixirScope.untrace(second)
      assert_nothing_left()
    end

    test "is given back at a limit, with the recorder, and when the process that holds traces is killed" do
      a = worker()
      {:ok, ref} = ElixirScope.trace(a, causality: :exact, max: 3)
      sends(a, a, [1, 2, 3, 4])
      assert ending(ref) == :max
      assert_nothing_left()

      {:ok, _ref} = ElixirScope.trace(a, causality: :exact)
      sends(a, a, [1, 2])
      server = Process.whereis(Server)
      Process.exit(server, :kill)
      until(fn -> Process.whereis(Server) not in [nil, server] end, "the next server")
      assert ElixirScope.status().traces == []
      assert_nothing_left()

      {:ok, _ref} = ElixirScope.trace(a, causality: :exact)
      sends(a, a, [1, 2])
      ElixirScope.stop()
      assert_nothing_left()
    end
  end

  test "tokens of somebody else stay as they are, and then ours wear off" do
    [own, parent] = [worker(), self()]

    other =
      spawn_link(fn ->
        :seq_trace.set_token(:label, 99)
        :seq_trace.set_token(:send, true)
        send(parent, :set)
        receive do: (:end -> :ok)
      end)

    receive do: (:set -> :ok)
    :seq_trace.set_token([])
    on_exit(fn -> :seq_trace.reset_trace() end)
    token = :erlang.process_info(other, :sequential_trace_token)
    assert {:sequential_trace_token, {_flags, 99, _serial, _from, _last}} = token

    exactly([own, other], fn -> sends(own, own, [:mine]) end)
    assert :erlang.process_info(other, :sequential_trace_token) == token
    [%{tokens_kept: kept} | _] = ElixirScope.status().ended_traces
    assert kept > 0 and own in Tokens.tokens().ours
    assert :seq_trace.get_system_tracer() == false
    send(other, :end)
    :seq_trace.reset_trace()
  end

  test "tokens need sends and arrivals among the events" do
    for events <- [[:send], [:receive, :procs], [:gc]] do
      assert {:error, %Error{reason: {:invalid_option, :causality, :exact, expected}}} =
               ElixirScope.trace(worker(), causality: :exact, events: events)

      assert expected =~ ":send and :receive"
    end

    assert {:error, %Error{reason: {:invalid_option, :causality, :perfect, _}}} =
             ElixirScope.trace(worker(), causality: :perfect)
  end
end
