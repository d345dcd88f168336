defmodule ElixirScope.NetworkTruthTest do
  # Networks of processes that log what they really did. Seen by the VM's tracer alone, by instrumentation alone, and by both at once, the
  # tape must tell the same, and nothing twice.
  use ElixirScope.Test.RecorderCase

  alias ElixirScopeTest.{NetworkLog, Networks}
  alias ElixirScopeTest.Networks.Member

  @moduletag :capture_log
  @moduletag recorder: [
               capture: [buffer_size: 60_000, total_bytes: 64 * 1024 * 1024],
               storage: [memory_limit: 64 * 1024 * 1024]
             ]

  @callbacks [handle_call: 3, handle_cast: 2, handle_info: 2]
  @same {:note, :same}
  @sorts %{cast: :handle_cast, call: :handle_call, send: :handle_info}

  setup do
    on_exit(fn ->
      ElixirScope.start()
      ElixirScope.untrace(:all)
      ElixirScope.uninstrument([Networks, Member])
      ElixirScope.stop()
      for module <- [Networks, Member], do: :code.soft_purge(module)
    end)
  end

  for network <- [:pipeline, :moving_name, :restarts, :registry, :groups],
      way <- [:trace, :instrument, :both] do
    test "#{network}, by #{way}" do
      play(unquote(network), unquote(way))
    end
  end

  defp play(network, way) do
    log = NetworkLog.new()
    driver = driver(network, log)
    # The callbacks are traced before they record themselves.
    {:ok, ref} = if way in [:trace, :both], do: trace(driver), else: {:ok, nil}

    if way in [:instrument, :both],
      do: :ok = ElixirScope.instrument([Networks, Member], functions: :all)

    send(driver, :play)
    until_dead(driver)
    born = for(%{pid: pid} <- NetworkLog.all(log, :born), do: pid)
    for pid <- born, do: until_dead(pid)
    if ref, do: :ok = ElixirScope.untrace(ref)

    world = %{way: way, log: log, driver: driver, pids: Enum.uniq([driver | born])}
    assert %{lost: lost} = ElixirScope.status().capture
    assert lost == %{}
    assert_sends(world)
    assert_life(world)
    assert_tree(world)
    assert_receipts(world, network)
  end

  # Who has a name is asked when a message to it is recorded, and the VM asks by itself when it sends. In the instant in which the name
  # moves, the message may be told for the one who had it before, or has it after, or for nobody, and its arrival for itself.
  @moves 60

  defp assert_receipts(world, :moving_name) do
    handled = truth(world, :handled)

    told =
      for from <- world.pids,
          to <- handled |> Enum.map(& &1.pid) |> Enum.uniq(),
          %{message: {:note, n}} when n != :same <- ElixirScope.get_message_flow(from, to, limit: :infinity),
          do: {from, {:note, n}}

    sent = for %{pid: from, message: message} <- truth(world, :sent), do: {from, message}
    assert Enum.uniq(told) -- sent == []
    assert length(told) - length(Enum.uniq(told)) <= @moves
    messages = MapSet.new(told, &elem(&1, 1))
    notes = for %{message: {:note, n} = note} when n != :same <- handled, do: note
    assert length(notes) > 2 * @moves
    assert Enum.count(notes, &(&1 not in messages)) <= @moves
  end

  defp assert_receipts(world, network) do
    assert_flows(world)
    assert_arrivals(world)
    assert_handled(world)
    assert_causes(world, network)
  end

  defp driver(network, log) do
    spawn(fn ->
      receive do: (:play -> :ok)
      apply(Networks, network, [log])
    end)
  end

  defp trace(driver) do
    ElixirScope.trace(driver,
      follow: :spawn,
      events: [:send, :receive, :procs, :call, :return, :exception],
      functions: for({name, arity} <- @callbacks, do: {Member, name, arity}),
      for: 60_000,
      max: 1_000_000,
      rate: 1_000_000
    )
  end

  defp ours?({kind, _n}), do: kind in [:note, :ask, :crash, :plain]
  defp ours?({:pass, _n, _next}), do: true
  defp ours?(_message), do: false

  defp truth(world, kind), do: NetworkLog.all(world.log, kind)

  # -- Messages ---------------------------------------------------------------------------------------------------------------

  # What each process sent, once each and in order, within the time in which it did.
  defp assert_sends(world) do
    for pid <- world.pids do
      told =
        for event <- all_events(pid: pid, event_type: :message_send),
            event.send_type in [:cast, :call, :send] and ours?(event.message),
            do: event

      truth = for %{pid: ^pid} = sent <- truth(world, :sent), do: sent
      assert Enum.map(told, &{&1.send_type, &1.message}) == Enum.map(truth, &{&1.sort, &1.message})

      for {event, sent} <- Enum.zip(told, truth) do
        assert sent.from <= event.timestamp and event.timestamp <= sent.at
        # A caller looks names up itself, so that the VM is asked to send to the pid.
        if is_pid(sent.to),
          do: assert(event.receiver_pid == sent.to),
          else: assert(event.receiver_name in [sent.to, nil])
      end
    end
  end

  # Who sent what to whom, in which order, as far as somebody handled it.
  defp assert_flows(world) do
    handled = world |> truth(:handled) |> Enum.group_by(& &1.pid)

    for to <- Map.keys(handled), from <- world.pids do
      flow =
        for event <- ElixirScope.get_message_flow(from, to, limit: :infinity),
            ours?(event.message) and event.message != @same,
            do: event

      # Who handled what is the truth. What was left in a mailbox, or was on its way to it, comes behind that.
      mine = for %{sort: sort, message: message} <- sent_by(from, handled[to], world), do: {sort, message}
      {done, rest} = Enum.split_with(flow, &(is_integer(&1.received_at) or is_integer(&1.handled_at)))
      told = for event <- done, do: {event.send_type, event.message}
      assert Enum.take(told, length(mine)) == mine
      assert length(told) == length(mine) or crashed?(handled[to])
      for event <- rest, do: assert(event.to_dead || crashed?(handled[to]))
      if world.way != :trace, do: assert(done |> Enum.take(length(mine)) |> Enum.all?(& &1.handled_at))
    end

    # Equal ones of several senders: none is missing and none twice.
    same = for event <- all_events(event_type: :message_send), event.message == @same, do: event
    assert length(same) == Enum.count(truth(world, :sent), &(&1.message == @same))

    if world.way != :instrument do
      for {to, handled} <- handled do
        assert Enum.count(same, &(&1.received_at && &1.receiver_pid == to)) ==
                 Enum.count(handled, &(&1.message == @same))
      end
    end
  end

  defp crashed?(handled), do: Enum.any?(handled, &match?({:crash, _round}, &1.message))

  # Of what a process handled, what this one sent it: it said so, or nobody else sent anything that says the same.
  defp sent_by(from, handled, world) do
    sent = truth(world, :sent)
    mine = for %{pid: ^from} = entry <- sent, into: MapSet.new(), do: {entry.sort, entry.message}
    others = for %{pid: pid} = entry <- sent, pid != from, into: MapSet.new(), do: {entry.sort, entry.message}

    Enum.filter(handled, fn entry ->
      said = {entry.sort, entry.message}

      entry.message != @same and MapSet.member?(mine, said) and
        (entry.from == from or not MapSet.member?(others, said))
    end)
  end

  defp assert_arrivals(%{way: :instrument}), do: :ok

  defp assert_arrivals(world) do
    handled = world |> truth(:handled) |> Enum.group_by(& &1.pid)

    for {pid, handled} <- handled do
      arrived =
        for event <- all_events(pid: pid, event_type: :message_receive), ours?(event.message), do: event

      truth = Enum.map(handled, & &1.message)
      assert arrived |> Enum.map(& &1.message) |> Enum.take(length(truth)) == truth
      # Whatever is in the mailbox at a crash has arrived, too.
      assert length(arrived) == length(truth) or crashed?(handled)
      ids = Enum.map(arrived, & &1.message_id)
      assert Enum.all?(ids, &is_integer/1)
      assert ids == Enum.uniq(ids)
    end
  end

  # -- Handling -----------------------------------------------------------------------------------------------------------------

  # Each message handled is one call of the callback, told once, whoever tells it.
  defp assert_handled(world) do
    for {pid, handled} <- world |> truth(:handled) |> Enum.group_by(& &1.pid) do
      entries =
        for event <- all_events(pid: pid, event_type: :function_entry),
            event.module == Member and {event.function, event.arity} in @callbacks,
            do: event

      assert Enum.map(entries, &{&1.function, hd(&1.args)}) ==
               Enum.map(handled, &{@sorts[&1.sort], &1.message})

      for {entry, handled} <- Enum.zip(entries, handled), do: assert(entry.timestamp <= handled.at)

      exits =
        for event <- all_events(pid: pid, event_type: :function_exit),
            {event.function, event.arity} in @callbacks,
            do: event

      assert Enum.map(exits, & &1.call_id) == Enum.map(entries, & &1.id)
      if world.way != :trace, do: assert_queues(pid, entries, world)
    end
  end

  defp assert_queues(pid, entries, world) do
    flow =
      for event <- ElixirScope.get_message_flow(:all, pid, limit: :infinity),
          event.handled_at && ours?(event.message),
          # Of equal ones of several it is not known who sent which, unless their arrivals are.
          world.way == :both or event.message != @same,
          do: event

    entries = if world.way == :both, do: entries, else: Enum.reject(entries, &(hd(&1.args) == @same))
    assert flow |> Enum.map(& &1.handled_at) |> Enum.sort() == Enum.map(entries, & &1.timestamp)

    for event <- flow do
      if world.way == :both do
        assert event.timestamp <= event.received_at and event.received_at <= event.handled_at
        assert event.queue_time_ns == event.handled_at - event.received_at
      else
        assert event.queue_time_ns == nil
      end
    end
  end

  # -- Life ---------------------------------------------------------------------------------------------------------------------

  defp assert_life(world) do
    births = all_events(event_type: :process_spawn)
    assert births == Enum.uniq_by(births, & &1.spawned_pid)

    for {pid, parent} <- parents(world), world.way != :instrument or parent == world.driver do
      assert [%{parent_pid: ^parent}] = Enum.filter(births, &(&1.spawned_pid == pid))
    end

    if world.way != :instrument do
      for pid <- world.pids, do: assert([_exit] = all_events(event_type: :process_exit, pid: pid))

      links = for event <- all_events(event_type: :process_link), do: Enum.sort([event.pid, event.other_pid])
      assert links == Enum.uniq(links)

      named = for %{name: name, who: pid} <- truth(world, :named), do: {pid, name}

      told =
        for event <- all_events(event_type: :process_register),
            event.name == :moving_name,
            do: {event.pid, event.name}

      assert told == named
    end
  end

  # Those that did not write down who their parent is were told of by it.
  defp parents(world) do
    born = for %{parent: parent, pid: pid} <- truth(world, :born), do: {pid, parent}
    Enum.uniq(born ++ for(%{who: pid, parent: parent} <- truth(world, :parent), do: {pid, parent}))
  end

  defp assert_tree(%{way: :instrument}), do: :ok

  defp assert_tree(world) do
    [%{at: at}] = truth(world, :middle)
    tree = ElixirScope.process_tree(at: at)
    nodes = flat(tree)
    gone = for event <- all_events(event_type: :process_exit, until: at), do: event.pid

    for {pid, parent} <- parents(world), pid not in gone do
      assert [%{parent: ^parent, alive: true}] = Enum.filter(nodes, &(&1.pid == pid))
    end

    for pid <- gone, node = Enum.find(nodes, &(&1.pid == pid)), do: refute(node.alive)
  end

  defp flat(%{children: children}), do: Enum.flat_map(children, &[&1 | flat(&1)])

  # -- Causes -------------------------------------------------------------------------------------------------------------------

  defp assert_causes(%{way: :trace}, _network), do: :ok

  defp assert_causes(world, :pipeline) do
    [%{id: root, correlation_id: correlation}] = all_events(function: :pipeline, event_type: :function_entry)
    stages = for %{who: pid} <- truth(world, :parent), do: pid
    passes = for pid <- stages, do: all_events(pid: pid, event_type: :function_entry, function: :handle_cast)

    for items <- Enum.zip(passes), items = Tuple.to_list(items), n <- 0..3 do
      item = Enum.at(items, n)
      assert item.correlation_id == correlation
      causes = ElixirScope.trace_causes(item.id)
      assert hd(causes).id == root
      assert handled(causes) == items |> Enum.take(n) |> ids()
      assert handled(ElixirScope.trace_effects(item.id)) == items |> Enum.drop(n + 1) |> ids()
    end
  end

  defp assert_causes(world, _network) do
    # Whatever was handled was sent, and by whom the log says.
    for %{pid: pid} <- truth(world, :born),
        entry <- all_events(pid: pid, event_type: :function_entry),
        entry.module == Member and {entry.function, entry.arity} in @callbacks,
        message = hd(entry.args),
        message != @same do
      senders = for %{message: ^message, pid: sender} <- truth(world, :sent), uniq: true, do: sender
      causes = ElixirScope.trace_causes(entry.id)

      assert [%{pid: sender} | _] =
               for(%{event_type: :message_send, message: ^message} = sent <- causes, do: sent)

      assert sender in senders
    end
  end

  defp handled(events),
    do: events |> Enum.filter(&(&1.event_type == :function_entry and &1.function == :handle_cast)) |> ids()

  defp ids(events), do: Enum.map(events, & &1.id)
end
