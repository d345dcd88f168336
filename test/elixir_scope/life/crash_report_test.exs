defmodule ElixirScope.Life.CrashReportTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScopeTest.{Mortals, Procs}
  alias ElixirScopeTest.Mortals.Server

  @moduletag :capture_log

  defp report(pid) do
    until(fn -> match?({:ok, _report}, ElixirScope.get_crash_report(pid)) end, "the end of #{inspect(pid)}")
    {:ok, report} = ElixirScope.get_crash_report(pid)
    report
  end

  defp successor(name, old), do: until(fn -> (pid = Process.whereis(name)) not in [nil, old] && pid end)

  defp who(members), do: Enum.map(members, &{&1.pid, &1.by, &1.how})

  defp reach([], _links, seen), do: seen

  defp reach([pid | more], links, seen) do
    next = for({^pid, other} <- links, do: other) ++ for({other, ^pid} <- links, do: other)
    new = Enum.reject(Enum.uniq(next), &(&1 in seen))
    reach(more ++ new, links, MapSet.union(seen, MapSet.new(new)))
  end

  describe "with a trace of all processes" do
    setup do
      Procs.trace([:procs, :receive])
      :ok
    end

    test "it is one story: state, messages, reason, supervisor and restart" do
      supervisor = Mortals.supervise([Mortals.child(name: :mortal, state: %{count: 1})])
      pid = Process.whereis(:mortal)
      :ok = GenServer.cast(pid, {:put, :tea, 2})
      {reason, _call} = catch_exit(GenServer.call(pid, :raise))
      new = successor(:mortal, pid)

      report = report(pid)
      assert {report.pid, report.name, report.supervisor} == {pid, :mortal, supervisor}
      assert {report.reason, report.recorded} == {reason, :exit}
      assert report.initial_call == {Server, :init, 1}
      assert report.born_at < report.exited_at
      assert {:ok, %{count: 1, tea: 2}, %{quality: :unverified, source: :crash}} = report.state

      # among what its own report asks for
      sent =
        for %{message: message} = received <- report.messages,
            message in [{:put, :tea, 2}, :raise],
            do: received

      assert [
               %Events.MessageReceive{message: {:put, :tea, 2}},
               %Events.MessageReceive{message: :raise} = last
             ] = sent

      assert last.sender_pid == self()
      assert report.cause == nil
      assert %{pid: ^new, restarts: 1, at: at} = report.restart
      assert at > report.exited_at
      assert report.crash.crash_reason == reason
      types = for event <- report.events, do: event.event_type
      assert types == [:crash, :process_exit, :process_spawn]
      assert report.events == Enum.sort_by(report.events, & &1.id)
    end

    test "linked processes follow, each by the one that it was linked to" do
      [one, two, three] = for _ <- 1..3, do: Mortals.server()
      bystander = Mortals.server()
      true = GenServer.call(two, {:link, one})
      true = GenServer.call(three, {:link, two})
      GenServer.cast(one, {:exit, :over})
      Enum.each([one, two, three], &until_dead/1)

      report = report(one)
      assert report.cause == nil
      assert who(report.followed) == [{two, one, :link}, {three, two, :link}]
      assert Enum.all?(report.followed, &(&1.reason == :over))

      report = report(three)
      assert %{pid: ^one, reason: :over} = report.cause
      assert report.followed == []
      assert report(two).cause.pid == one
      assert Process.alive?(bystander)
      GenServer.stop(bystander)
    end

    test "a process that was killed takes those linked to it along" do
      [one, two] = for _ <- 1..2, do: Mortals.server()
      true = GenServer.call(two, {:link, one})
      Process.exit(one, :kill)
      Enum.each([one, two], &until_dead/1)
      report = report(one)
      assert {report.reason, who(report.followed)} == {:killed, [{two, one, :link}]}
    end

    test "who waits for a reply dies of the call" do
      [client, server] = for _ <- 1..2, do: Mortals.server()
      GenServer.cast(client, {:call, server, :raise})
      Enum.each([client, server], &until_dead/1)
      assert who(report(server).followed) == [{client, server, :call}]
      assert report(client).cause.pid == server
    end

    test "a supervisor that stops siblings, and one that gives up" do
      supervisor =
        Mortals.supervise(for(name <- [:one, :two, :three], do: Mortals.child(name: name)),
          strategy: :rest_for_one,
          max_restarts: 1
        )

      [one, two, three] = Enum.map([:one, :two, :three], &Process.whereis/1)
      GenServer.cast(two, {:exit, :over})
      new = successor(:two, two)
      new_three = successor(:three, three)
      until(fn -> length(Supervisor.which_children(supervisor)) == 3 end)

      report = report(two)
      assert who(report.followed) == [{three, two, :stopped}]
      assert report.restart.pid == new
      assert report(three).cause.pid == two

      GenServer.cast(new, {:exit, :over})
      Enum.each([new, supervisor], &until_dead/1)
      report = report(new)
      assert {supervisor, new, :gave_up} in who(report.followed)

      assert Enum.sort(for {pid, ^supervisor, :stopped} <- who(report.followed), do: pid) ==
               Enum.sort([one, new_three])

      assert report.restart == nil
      assert report(one).cause.pid == new
      assert report(supervisor).cause.pid == new
    end

    for seed <- 1..5 do
      test "in a network of links it goes as far as nobody traps it (seed #{seed})" do
        :rand.seed(:exsss, {unquote(seed), 5, 6})
        pids = for _ <- 1..14, do: Mortals.server()
        trapping = Enum.take_random(pids, 3)
        for pid <- trapping, do: GenServer.call(pid, :trap)
        links = for _ <- 1..18, [one, other] = Enum.take_random(pids, 2), do: {one, other}
        for {one, other} <- links, do: GenServer.call(one, {:link, other})

        first = Enum.random(pids -- trapping)

        doomed =
          reach([first], links, MapSet.new([first | trapping])) |> MapSet.difference(MapSet.new(trapping))

        GenServer.cast(first, {:exit, :over})
        Enum.each(doomed, &until_dead/1)

        report = report(first)
        assert report.cause == nil
        assert Enum.sort([first | for(member <- report.followed, do: member.pid)]) == Enum.sort(doomed)
        linked = MapSet.new(links ++ for({one, other} <- links, do: {other, one}))
        assert Enum.all?(report.followed, &(&1.how == :link and {&1.by, &1.pid} in linked))
        for pid <- doomed, pid != first, do: assert(report(pid).cause.pid == first)
        ended = for %Events.ProcessExit{} = exit <- report.events, do: exit.pid
        assert hd(ended) == first and Enum.sort(ended) == Enum.sort(doomed)

        living = Enum.reject(pids, &(&1 in doomed))
        assert Enum.all?(living, &Process.alive?/1)
        Enum.each(living, &Process.exit(&1, :kill))
      end
    end

    test "a task and its owner" do
      test = self()

      owner =
        spawn(fn ->
          task = Task.async(fn -> receive(do: (:fail -> raise "in a task")) end)
          send(test, {:task, task.pid})
          Task.await(task)
        end)

      assert_receive {:task, task}
      send(task, :fail)
      Enum.each([task, owner], &until_dead/1)
      report = report(task)
      assert {%RuntimeError{message: "in a task"}, [_ | _]} = report.reason
      assert who(report.followed) == [{owner, task, :link}]
      assert :fail in Enum.map(report.messages, & &1.message)
    end

    test "plain processes, and ends in order" do
      failed = spawn(fn -> :erlang.error(:plain) end)
      done = spawn(fn -> :ok end)
      assert {:plain, [_ | _]} = report(failed).reason
      assert %{reason: :normal, crash: nil, recorded: :exit, restart: nil, followed: []} = report(done)
      assert report(done).state == {:error, :no_state_recorded}
    end
  end

  describe "without a trace" do
    test "the crash that the logger was told of is the end" do
      Mortals.supervise([Mortals.child(name: :mortal, state: %{count: 1})])
      pid = Process.whereis(:mortal)
      GenServer.cast(pid, {:exit, :over})
      new = successor(:mortal, pid)
      report = report(pid)
      assert {report.reason, report.recorded, report.messages} == {:over, :crash, []}
      assert {:ok, %{count: 1}, %{source: :crash}} = report.state
      assert %{pid: ^new, at: nil, restarts: 1} = report.restart
    end

    test "those who crash of it follow" do
      [one, two] = for _ <- 1..2, do: Mortals.server()
      true = GenServer.call(two, {:link, one})
      test = Mortals.server()
      GenServer.cast(test, {:call, one, :raise})
      Enum.each([one, test], &until_dead/1)
      assert {test, one, :call} in who(report(one).followed)
    end
  end

  describe "with instrumentation" do
    setup do
      :ok = ElixirScope.instrument(Server)
      on_exit(fn -> ElixirScope.uninstrument(Server) end)
    end

    test "the calls that were open, what was handled, and the state of the timeline" do
      pid = Mortals.server(state: %{count: 1})
      GenServer.cast(pid, {:put, :big, Enum.to_list(1..3_000)})
      catch_exit(GenServer.call(pid, :raise))
      report = report(pid)
      assert %Events.FunctionEntry{function: :handle_call, args: [:raise | _]} = report.handling

      assert [%{entry: entry, exit: %Events.FunctionExit{exit_reason: {:error, %ArgumentError{}, _stack}}}] =
               report.calls

      assert entry == report.handling
      assert {:ok, %{count: 1, big: big}, %{quality: :unverified}} = report.state
      assert length(big) == 3_000
    end

    test "a call that the process did not come back from" do
      Procs.trace()
      other = spawn(fn -> receive(do: (:end -> :ok)) end)
      pid = Mortals.server()
      GenServer.cast(pid, {:call, other, :never})

      until(fn ->
        ElixirScope.count_events(pid: pid, function: :handle_cast, event_type: :function_entry) == 1
      end)

      Process.exit(pid, :kill)
      report = report(pid)

      assert [%{entry: %{function: :handle_cast, args: [{:call, ^other, :never} | _]}, exit: nil}] =
               report.calls

      send(other, :end)
    end

    test "a state at or after the end is refused, the last one is there" do
      pid = Mortals.server(state: %{count: 1})
      GenServer.cast(pid, {:put, :count, 2})
      assert GenServer.call(pid, :state) == %{count: 2}
      before = ElixirScope.now()
      GenServer.cast(pid, {:exit, :over})
      until_dead(pid)
      %{exited_at: at} = report(pid)
      assert ElixirScope.get_state_at(pid, before) == %{count: 2}
      assert ElixirScope.get_state_at(pid, ElixirScope.now()) == {:error, {:exited, at, :over}}
      assert ElixirScope.fetch_state_at(pid, at) == {:error, {:exited, at, :over}}
      # nor does it differ from anything
      [%{timestamp: began} | _] = ElixirScope.get_state_history(pid)
      assert ElixirScope.get_state_diff(pid, began, ElixirScope.now()) == {:error, {:exited, at, :over}}
      assert ElixirScope.get_state_diff(pid, at, :last) == {:error, {:exited, at, :over}}
      assert {:ok, _changes} = ElixirScope.get_state_diff(pid, began, at - 1)
      assert {:ok, _changes} = ElixirScope.get_state_diff(pid, began, :last)
      assert {:ok, %{count: 2}, _meta} = ElixirScope.fetch_state_at(pid, :last)
      assert ElixirScope.get_state_at(pid, :last) == %{count: 2}
    end

    test "a bridge knows the ended from the living" do
      pid = Mortals.server(state: 1)
      {:ok, bridge} = ElixirScope.Capture.TemporalBridge.start_link([])
      before = ElixirScope.now()
      GenServer.cast(pid, {:exit, :over})
      until_dead(pid)
      later = ElixirScope.now()
      alias ElixirScope.Capture.TemporalBridge
      assert {:ok, %{^pid => 1}} = TemporalBridge.reconstruct_state_at(bridge, before)
      assert {:ok, states} = TemporalBridge.reconstruct_state_at(bridge, later)
      refute is_map_key(states, pid)
      assert {:ok, %{^pid => 1}} = TemporalBridge.reconstruct_state_at(bridge, :last)
    end

    test "a normal end is one too, where it was traced" do
      Procs.trace()
      pid = Mortals.server()
      GenServer.stop(pid)
      assert {:error, {:exited, _at, :normal}} = ElixirScope.get_state_at(pid, ElixirScope.now())
    end
  end

  test "who did not end, is of another node, or is no pid" do
    assert ElixirScope.get_crash_report(self()) == {:error, :no_exit_recorded}
    assert message_of(ElixirScope.get_crash_report(:name)) =~ "expected a pid"
    remote = :erlang.binary_to_term(<<131, 88, 100, 0, 5, "other", 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1>>)
    assert ElixirScope.get_crash_report(remote) == {:error, {:remote, :other}}
    ElixirScope.stop()
    assert ElixirScope.get_crash_report(self()) == {:error, :not_running}
  end
end
