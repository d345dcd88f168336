defmodule ElixirScope.TracingTest do
  use ElixirScope.Test.RecorderCase

  import ElixirScope.Test.Traces

  require ElixirScope

  alias ElixirScope.{Error, Native, Tracing}
  alias ElixirScope.Tracing.Session
  alias ElixirScopeTest.Traced

  setup do
    on_exit(fn ->
      ElixirScope.untrace(:all)
      assert_nothing_left()
    end)
  end

  defp types(opts), do: for(event <- all_events(opts), do: event.event_type)
  defp calls(opts \\ []), do: all_events([event_type: :function_entry] ++ opts)

  describe "trace/2 of a process" do
    test "records what it sends, gets, and does to others" do
      worker = worker()
      {:ok, _ref} = ElixirScope.trace(worker)

      run(worker, fn ->
        Process.register(self(), :a_traced_worker)
        {child, monitor} = spawn_monitor(fn -> :ok end)
        receive do: ({:DOWN, ^monitor, :process, ^child, :normal} -> child)
      end)

      ElixirScope.untrace(:all)

      assert types(pid: worker) == [
               :message_receive,
               :process_register,
               :process_spawn,
               :message_receive,
               :message_send
             ]
    end

    test "records nothing of others" do
      worker = worker()
      other = worker()
      {:ok, _ref} = ElixirScope.trace(worker)
      run(other, fn -> send(self(), :hello) end)
      assert all_events(pid: other) == []
    end

    test "takes names and lists" do
      [one, two] = [worker(), worker()]
      Process.register(two, :a_traced_worker)
      {:ok, _ref} = ElixirScope.trace([one, :a_traced_worker], events: [:send])
      for worker <- [one, two], do: run(worker, fn -> :ok end)
      assert types(pid: one) == [:message_send]
      assert types(pid: two) == [:message_send]
    end

    test "records its garbage collections" do
      worker = worker()
      {:ok, _ref} = ElixirScope.trace(worker, events: [:gc])
      run(worker, fn -> :erlang.garbage_collect() end)
      ElixirScope.untrace(:all)
      collections = all_events(pid: worker)
      assert Enum.any?(collections, &(&1.event_type == :garbage_collection and &1.gc_type == :major))
      assert Enum.uniq(types(pid: worker)) == [:garbage_collection]
    end

    test "tells who sent what arrives" do
      worker = worker()
      me = self()
      {:ok, _ref} = ElixirScope.trace(worker, events: [:receive])
      run(worker, fn -> :ok end)
      assert [%{event_type: :message_receive, sender_pid: ^me}] = all_events(pid: worker)
    end

    test "tells of each link once, though who made it may be gone when the other hears of it" do
      # what is busy hears of others between its turns only
      busy = spawn(fn -> Stream.repeatedly(fn -> Enum.sum(1..100) end) |> Stream.run() end)

      parent =
        spawn(fn ->
          receive do: (makers -> Enum.each(1..makers, fn _ -> spawn(Process, :link, [busy]) end))
        end)

      {:ok, ref} = ElixirScope.trace([busy, parent], events: [:procs], follow: :spawn)
      send(parent, 500)
      until(fn -> ElixirScope.count_events(event_type: :process_exit) == 501 end)
      ElixirScope.untrace(ref)
      Process.exit(busy, :kill)

      makers = for %{spawned_pid: maker} <- all_events(event_type: :process_spawn), do: maker
      assert length(makers) == 500 and makers == Enum.uniq(makers)

      assert Enum.sort(
               for(%{pid: maker, other_pid: ^busy} <- all_events(event_type: :process_link), do: maker)
             ) ==
               Enum.sort(makers)

      assert all_events(pid: busy, event_type: :process_link) == []
    end

    test "ends when the process does" do
      worker = worker()
      {:ok, ref} = ElixirScope.trace(worker)
      Process.unlink(worker)
      Process.exit(worker, :shutdown)
      assert ending(ref) == :no_process
      assert %{exit_reason: :shutdown} = List.last(all_events(pid: worker))
    end

    test "traces calls in it alone, where functions are named" do
      [one, other] = [worker(), worker()]
      {:ok, _ref} = ElixirScope.trace(one, functions: [{Traced, :one, 1}])
      for worker <- [one, other], do: run(worker, fn -> Traced.one(:x) end)
      assert [%{args: [:x], pid: ^one}] = calls()
    end
  end

  describe "trace/2 of functions" do
    test "records calls, returns and exceptions, in any process, also in later ones" do
      worker = worker()
      {:ok, _ref} = ElixirScope.trace([{Traced, :two, 2}, {Traced, :raises, 1}])
      run(worker, fn -> Traced.two(1, 2) end)

      child =
        run(worker, fn ->
          {child, monitor} = spawn_monitor(fn -> catch_error(Traced.raises(3)) end)
          receive do: ({:DOWN, ^monitor, _, _, _} -> child)
        end)

      assert [%{function: :two, args: [1, 2]}, %{function: :two, result: {1, 2}, exit_reason: :normal}] =
               all_events(pid: worker)

      assert [%{function: :raises}, %{exit_reason: {:error, %ArgumentError{message: "3"}, _stack}}] =
               all_events(pid: child)
    end

    test "nests calls of which the returns are traced" do
      {:ok, _ref} = ElixirScope.trace([{Traced, :two, 2}, {Traced, :one, 1}])
      run(worker(), fn -> Traced.two(1, 2) end)
      assert [outer, inner] = calls()
      assert {outer.function, inner.function, inner.parent_id} == {:two, :one, outer.id}
    end

    test "takes whole modules and any arity, private functions too" do
      {:ok, ref} = ElixirScope.trace({:module, Traced}, events: [:call])
      run(worker(), fn -> {Traced.by_hand(1), Traced.one(2)} end)
      assert Enum.map(calls(), & &1.function) == [:by_hand, :inner, :one]
      ElixirScope.untrace(ref)

      {:ok, _ref} = ElixirScope.trace({Traced, :two, :_}, events: [:call])
      run(worker(), fn -> {Traced.two(1, 2), Traced.one(2)} end)
      assert Enum.map(calls(), & &1.function) == [:by_hand, :inner, :one, :two]
    end

    test "takes the head of a function" do
      name = :wanted
      {:ok, _ref} = ElixirScope.trace(ElixirScope.match(Traced.pair(%{name: ^name}, [x | _]) when x > 1))

      run(worker(), fn ->
        Traced.pair(%{name: :wanted}, [1])
        Traced.pair(%{name: :other}, [2])
        Traced.pair(%{name: :wanted, more: true}, [2, 3])
      end)

      assert [%{args: [%{name: :wanted, more: true}, [2, 3]]}] = calls()
    end

    test "takes a match spec" do
      spec = [{[:"$1"], [{:>, :"$1", 3}], []}]
      {:ok, _ref} = ElixirScope.trace({Traced, :one, 1, spec}, events: [:call])
      run(worker(), fn -> for n <- 1..5, do: Traced.one(n) end)
      assert Enum.map(calls(), & &1.args) == [[4], [5]]
    end

    test "leaves out arguments and results where it is told to" do
      {:ok, _ref} = ElixirScope.trace({Traced, :one, 1}, args: false, returns: false)
      run(worker(), fn -> Traced.one(:secret) end)
      assert [%{args: args}, %{result: nil, exit_reason: :normal}] = all_events(module: Traced)
      assert args in [nil, []]
    end

    test "says where a call came from" do
      {:ok, _ref} = ElixirScope.trace({Traced, :inner, 1}, events: [:call], caller: true)
      run(worker(), fn -> Traced.by_hand(1) end)
      assert [%{stack: [{Traced, :by_hand, 1, place}]}] = calls()
      assert place[:line] == 9
    end

    test "says where it came from all along, where the VM does" do
      opts = [events: [:call], stack: true]

      if Session.stacks?() do
        {:ok, _ref} = ElixirScope.trace({Traced, :inner, 1}, opts)
        run(worker(), fn -> Traced.by_hand(1) end)
        assert [%{stack: [{Traced, :by_hand, 1, _}, {ElixirScope.Test.Traces, :work, 0, _} | _]}] = calls()
      else
        assert message_of(ElixirScope.trace({Traced, :inner, 1}, opts)) =~ "OTP 26 is the first to tell it"
      end
    end

    test "tells the file and the line of the function" do
      {:ok, _ref} = ElixirScope.trace({Traced, :one, 1}, events: [:call])
      run(worker(), fn -> Traced.one(1) end)
      assert [%{file: "test/support/traced.ex", line: 4}] = calls()
    end

    test "goes on with code that is loaded anew" do
      {:ok, _ref} = ElixirScope.trace({Traced, :one, 1}, events: [:call])
      worker = worker()
      # with which the VM forgets all patterns
      :code.purge(Traced)
      {:module, Traced} = :code.load_file(Traced)

      until(fn ->
        run(worker, fn -> Traced.one(:again) end)
        Enum.any?(calls(), &(&1.args == [:again]))
      end)
    end
  end

  describe "trace/2 of sets of processes" do
    test "takes those that are born from now on" do
      worker = worker()
      {:ok, _ref} = ElixirScope.trace(:new)
      child = Task.async(fn -> :ok end)
      Task.await(child)
      run(worker, fn -> :ok end)
      assert :process_spawn in types(pid: child.pid)
      assert :process_exit in types(pid: child.pid)
      assert all_events(pid: worker) == []
    end

    test "takes all" do
      worker = worker()
      {:ok, _ref} = ElixirScope.trace(:all, events: [:send, :procs])
      Task.await(Task.async(fn -> run(worker, fn -> :ok end) end))
      assert :message_send in types(pid: worker)
      assert :process_spawn in types(pid: self())
      refute Enum.any?(all_events(), &(&1.pid == Process.whereis(ElixirScope.Tracing.Server)))
    end

    test "takes a supervisor with all that lives below it, and what is started there later" do
      {:ok, supervisor} = Supervisor.start_link([{Agent, fn -> 0 end}], strategy: :one_for_one)
      [{_id, agent, _type, _modules}] = Supervisor.which_children(supervisor)
      {:ok, _ref} = ElixirScope.trace({:tree, supervisor}, events: [:receive])
      Agent.get(agent, & &1)
      Agent.stop(agent, :abnormal)

      next =
        until(fn ->
          Enum.find_value(Supervisor.which_children(supervisor), &(is_pid(elem(&1, 1)) && elem(&1, 1)))
        end)

      Agent.get(next, & &1)
      assert :message_receive in types(pid: agent)
      assert :message_receive in types(pid: next)
    end

    test "takes an application" do
      {:ok, _ref} = ElixirScope.trace({:app, :kernel}, events: [:receive], force: true)
      :code_server |> Process.whereis() |> send(:hello)
      until(fn -> all_events(pid: Process.whereis(:code_server)) != [] end)
    end

    test "follows those that are spawned" do
      worker = worker()
      {:ok, _ref} = ElixirScope.trace(worker, events: [:send], follow: :spawn)
      me = self()
      grandchild = run(worker, fn -> spawn(fn -> spawn(fn -> send(me, {:hello, self()}) end) end) end)
      assert is_pid(grandchild)
      assert_receive {:hello, pid}
      assert [%{message: {:hello, ^pid}}] = all_events(pid: pid)
    end

    test "follows messages" do
      [one, two, other] = [worker(), worker(), worker()]
      {:ok, _ref} = ElixirScope.trace(one, events: [:send], follow: :message)
      run(other, fn -> :ok end)
      run(one, fn -> run(two, fn -> :ok end) end)
      assert types(pid: one) != []
      assert types(pid: two) != []
      assert types(pid: other) == []
    end
  end

  describe "only_inside" do
    test "records only while the call is under way, whatever ends it" do
      worker = worker()
      {:ok, _ref} = ElixirScope.trace(worker, events: [:send], only_inside: {Traced, :outer, 1})

      run(worker, fn ->
        send(self(), :before)
        Traced.outer(fn -> send(self(), :inside) end)
        send(self(), :between)
        catch_throw(Traced.outer(fn -> throw(send(self(), :thrown)) end))
        send(self(), :after)
      end)

      assert for(event <- all_events(event_type: :message_send), do: event.message) == [:inside, :thrown]
    end

    test "encloses calls of functions" do
      {:ok, _ref} = ElixirScope.trace({Traced, :one, 1}, events: [:call], only_inside: {Traced, :outer, 1})

      run(worker(), fn ->
        Traced.one(:outside)
        Traced.outer(fn -> Traced.one(:inside) end)
        Traced.one(:outside)
      end)

      assert Enum.map(calls(), & &1.args) == [[:inside]]
    end
  end

  describe "the VM asks whether it is to tell" do
    test "of one who belongs to a trace, of others, and of what is no event" do
      [worker, outsider, enclosed] = [worker(), worker(), worker()]
      asked = &Native.enabled(&1, 0, &2)

      for pid <- [worker, outsider],
          tag <- [:send, :call, :trace_status],
          do: assert(asked.(tag, pid) == :remove)

      {:ok, _ref} = ElixirScope.trace(worker, events: [:send])
      {:ok, _ref} = ElixirScope.trace(enclosed, events: [:send], only_inside: {Traced, :outer, 1})

      assert asked.(:trace_status, worker) == :trace
      assert asked.(:send, worker) == :trace
      assert asked.(:receive, worker) == :discard
      assert asked.(:call, worker) == :discard
      assert asked.(:gc_minor_start, worker) == :discard
      assert asked.(:anything, worker) == :discard

      assert asked.(:trace_status, enclosed) == :trace
      assert asked.(:send, enclosed) == :discard
      assert asked.(:call, enclosed) == :trace, "it may be the one that encloses"

      for tag <- [:trace_status, :send, :receive, :call], do: assert(asked.(tag, outsider) == :remove)
      assert asked.(:spawned, outsider) == :trace, "it may be born of one who does"
      assert asked.(:send, hd(Port.list())) == :discard
    end
  end

  describe "the limits" do
    test "max: so many events, and the flags are gone" do
      worker = worker()
      {:ok, ref} = ElixirScope.trace(worker, events: [:send], max: 3)
      run(worker, fn -> for n <- 1..10, do: send(self(), n) end)
      assert ending(ref) == :max
      assert_nothing_left()
      assert length(all_events(pid: worker)) == 3

      assert [%{operation: :started}, %{operation: :ended, reason: :max, limits: limits}] =
               all_events(event_type: :trace_control)

      refute Map.has_key?(limits, :missed)

      assert [%{recorded: 3, missed: 0}] = ElixirScope.status().ended_traces |> Enum.filter(&(&1.ref == ref))
    end

    test "rate: more than that in a second" do
      worker = worker()
      {:ok, ref} = ElixirScope.trace(worker, events: [:send], rate: 100)
      run(worker, fn -> for n <- 1..1_000, do: send(self(), n) end)
      assert ending(ref) == :rate
      assert_nothing_left()
      # A second may have ended in between.
      assert length(all_events(pid: worker)) in 100..200
    end

    test "for: so long, also where nothing happens" do
      worker = worker()
      {:ok, ref} = ElixirScope.trace(worker, for: 30)
      assert ending(ref) == :for
      assert_nothing_left()
      run(worker, fn -> :ok end)
      assert all_events(pid: worker) == []
    end

    test "stop_when: a call" do
      {:ok, ref} =
        ElixirScope.trace({Traced, :one, 1},
          events: [:call],
          stop_when: ElixirScope.match(Traced.one(n) when n >= 3)
        )

      run(worker(), fn -> for n <- 1..10, do: Traced.one(n) end)
      assert ending(ref) == :stop_when
      assert_nothing_left()
      assert Enum.map(calls(), & &1.args) == [[1], [2], [3]]
    end

    @tag recorder: [traces: [max: 7, rate: 70, for: 700]]
    test "are those of the configuration where a trace names none" do
      {:ok, _ref} = ElixirScope.trace(worker(), rate: 71)
      assert %{limits: %{max: 7, rate: 71, for: 700}, started_at: began, ends_at: ends} = the_trace()
      assert ends - began == 700_000_000
    end

    test "cannot be taken away" do
      for {key, value} <- [for: :infinity, for: 0, for: 86_400_001, max: -1, max: 1.5, rate: nil] do
        assert {:error, %Error{reason: {:invalid_option, ^key, ^value, expected}}} =
                 ElixirScope.trace(worker(), [{key, value}])

        assert expected =~ "an integer from 1 to"
      end
    end
  end

  describe "several traces at once" do
    test "each have their own events, and one ends without the other" do
      [one, two] = [worker(), worker()]
      {:ok, first} = ElixirScope.trace(one, events: [:send], max: 2)
      {:ok, second} = ElixirScope.trace([one, two], events: [:send, :receive])
      run(one, fn -> for n <- 1..5, do: send(self(), n) end)
      assert ending(first) == :max
      assert %{ref: ^second, recorded: recorded} = the_trace()
      assert recorded == length(all_events(pid: [one, two]))
      run(two, fn -> :ok end)
      run(one, fn -> :ok end)
      assert %{recorded: later} = the_trace()
      assert later == recorded + 4
    end

    test "record an event once" do
      worker = worker()
      for _ <- 1..3, do: {:ok, _ref} = ElixirScope.trace(worker, events: [:send])
      {:ok, _ref} = ElixirScope.trace(:all, events: [:send])
      run(worker, fn -> :ok end)
      assert [_one] = all_events(pid: worker)
      assert for(trace <- ElixirScope.status().traces, do: trace.recorded) |> Enum.take(3) == [1, 1, 1]
    end

    test "share a function, with what each wants of it" do
      {:ok, calls} = ElixirScope.trace({Traced, :one, 1}, events: [:call])
      {:ok, returns} = ElixirScope.trace({:module, Traced}, events: [:return])
      worker = worker()
      run(worker, fn -> Traced.one(1) end)
      assert types(pid: worker) == [:function_entry, :function_exit]
      ElixirScope.untrace(calls)
      run(worker, fn -> Traced.one(2) end)
      assert types(pid: worker) == [:function_entry, :function_exit, :function_exit]
      ElixirScope.untrace(returns)
      run(worker, fn -> Traced.one(3) end)
      assert length(all_events(pid: worker)) == 3
    end

    test "cannot be about different calls of one function" do
      {:ok, _ref} = ElixirScope.trace({Traced, :one, 1})
      spec = [{[1], [], []}]

      assert {:error, %Error{reason: {:other_calls_traced, {Traced, :one, 1}}}} =
               ElixirScope.trace({Traced, :one, 1, spec})

      assert %{target: {Traced, :one, 1}} = the_trace()
      run(worker(), fn -> Traced.one(2) end)
      assert [%{args: [2]}] = calls()
    end

    test "are sixteen at most" do
      worker = worker()
      refs = for _ <- 1..16, do: elem({:ok, _ref} = ElixirScope.trace(worker, events: [:send]), 1)
      assert {:error, %Error{reason: {:too_many_traces, 16}}} = ElixirScope.trace(worker)
      ElixirScope.untrace(hd(refs))
      assert {:ok, _ref} = ElixirScope.trace(worker)
    end

    test "all end by untrace(:all), from any process" do
      worker = worker()
      {:ok, ref} = ElixirScope.trace(:all)
      {:ok, _ref} = ElixirScope.trace({:module, Traced})
      {:ok, _ref} = ElixirScope.trace(worker, follow: :spawn)
      assert run(worker, fn -> ElixirScope.untrace(:all) end) == :ok
      assert_nothing_left()
      assert ElixirScope.status().traces == []
      assert ElixirScope.untrace(ref) == :ok
    end
  end

  describe "a trace ends" do
    test "with its owner where it is linked" do
      [worker, owner, other] = [worker(), worker(), worker()]
      {:ok, linked} = run(owner, fn -> ElixirScope.trace(worker, link: true) end)
      {:ok, free} = run(other, fn -> ElixirScope.trace(worker) end)

      for pid <- [owner, other] do
        Process.unlink(pid)
        Process.exit(pid, :kill)
      end

      assert ending(linked) == :owner_down
      assert %{ref: ^free, owner: ^other} = the_trace()
    end

    test "with the recorder" do
      worker = worker()
      {:ok, _ref} = ElixirScope.trace(:all)
      {:ok, _ref} = ElixirScope.trace({:module, Traced})
      :ok = ElixirScope.stop()
      assert_nothing_left()
      :ok = ElixirScope.start()
      run(worker, fn -> Traced.one(1) end)
      assert all_events() == []
      assert {:ok, _ref} = ElixirScope.trace(worker)
    end

    test "with the process of ours that holds it, and the next one begins anew" do
      worker = worker()
      {:ok, _ref} = ElixirScope.trace(:all, events: [:send])
      {:ok, _ref} = ElixirScope.trace({:module, Traced})
      server = Tracing.server()
      Process.exit(server, :kill)
      until(fn -> Tracing.server() not in [nil, server] end)
      assert ElixirScope.status().traces == []
      until(fn -> left() == [] end, "all flags and patterns to be gone")
      before = length(all_events(pid: worker))
      run(worker, fn -> Traced.one(1) end)
      assert length(all_events(pid: worker)) == before
      assert {:ok, _ref} = ElixirScope.trace(worker, functions: [{Traced, :one, 1}])
      run(worker, fn -> Traced.one(2) end)
      assert [%{args: [2]}] = calls(pid: worker)
    end
  end

  describe "a storm of processes" do
    test "does no harm to the node, and leaves nothing behind" do
      worker = worker()
      before = ElixirScope.status().store.bytes.total
      {:ok, _ref} = ElixirScope.trace(:all, max: 1_000_000, rate: 10_000_000)

      {:ok, _ref} =
        ElixirScope.trace(worker, follow: :spawn, events: [:procs, :send], max: 100_000, rate: 10_000_000)

      me = self()
      # each waits for all, so that so many live at once
      run(worker, fn ->
        pids = for _ <- 1..20_000, do: spawn(fn -> receive do: (:end -> send(me, {self(), :ended})) end)
        for pid <- pids, do: send(pid, :end)
        :ok
      end)

      for _ <- 1..20_000, do: assert_receive({_pid, :ended}, 10_000)
      assert ElixirScope.untrace(:all) == :ok
      assert_nothing_left()
      assert ElixirScope.count_events(event_type: :process_spawn) > 0

      assert ElixirScope.status().store.bytes.total <=
               max(before, ElixirScope.get_config().storage.memory_limit)
    end

    test "in which flags are taken away while processes are born by traced ones" do
      worker = worker()

      {:ok, _ref} =
        ElixirScope.trace(worker, follow: :spawn, events: [:procs], max: 1_000_000, rate: 10_000_000)

      counter = :counters.new(1, [])
      run(worker, fn -> for _ <- 1..20, do: spawn(fn -> chain(counter) end) end)
      until(fn -> :counters.get(counter, 1) > 1_000 end)
      ElixirScope.untrace(:all)
      assert_nothing_left()
      :counters.put(counter, 1, -1_000_000_000)
    end
  end

  # A process that is replaced by its child, again and again, until the counter is negative.
  defp chain(counter) do
    :counters.add(counter, 1, 1)
    if :counters.get(counter, 1) > 0, do: spawn(fn -> chain(counter) end)
  end
end
