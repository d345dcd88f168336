defmodule ElixirScope.Life.CrashesTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.Native
  alias ElixirScopeTest.Mortals
  alias ElixirScopeTest.Mortals.Server

  @moduletag :capture_log

  defp crashes(opts \\ []), do: all_events([event_type: :crash] ++ opts)

  # What a supervisor or the emulator reports comes after the end.
  defp crash(pid) do
    until(fn -> crashes(pid: pid) != [] end, "the crash")
    [crash] = crashes(pid: pid)
    crash
  end

  defp after_restart(name, old) do
    until(fn -> (pid = Process.whereis(name)) != old && pid end, "the restart")
  end

  describe "a crash is recorded once, whatever tells of it:" do
    test "a server that raises leaves its reason, its state and who was linked to it" do
      supervisor = Mortals.supervise([Mortals.child(name: :mortal, state: %{count: 7})])
      pid = Process.whereis(:mortal)
      {reason, _call} = catch_exit(GenServer.call(pid, :raise))
      after_restart(:mortal, pid)

      crash = crash(pid)
      assert crash.crash_reason == reason
      assert {%ArgumentError{message: "at work"}, [{Server, :handle_call, 3, _place} | _]} = reason
      assert crash.process_state == %{count: 7}
      assert crash.supervisor_pid == supervisor
      assert crash.linked_pids == [supervisor]
      assert crash.restart_count == 0
      assert [%Events.CrashDump{}] = crashes()
    end

    test "the reason is that of the exit, not that of the report" do
      for {how, reason} <- [exit: :no_more, stop: :no_more, exit: {:shutdown_of, 1}] do
        pid = Mortals.server()
        monitor = Process.monitor(pid)
        GenServer.cast(pid, {how, reason})
        assert_receive {:DOWN, ^monitor, :process, ^pid, ^reason}
        assert crash(pid).crash_reason == reason
      end
    end

    test "a state machine" do
      {:ok, pid} = Mortals.Machine.start_link()
      Process.unlink(pid)
      :gen_statem.cast(pid, {:exit, :broken})
      until_dead(pid)

      crash = crash(pid)
      assert {crash.crash_reason, crash.process_state} == {:broken, {:open, %{turns: 3}}}
      assert {crash.supervisor_pid, crash.restart_count, crash.linked_pids} == {nil, nil, []}
    end

    test "a child that was killed is told of by its supervisor" do
      supervisor = Mortals.supervise([Mortals.child(name: :mortal)])
      pid = Process.whereis(:mortal)
      Process.exit(pid, :kill)
      after_restart(:mortal, pid)

      crash = crash(pid)
      assert {crash.crash_reason, crash.supervisor_pid} == {:killed, supervisor}
      assert {crash.process_state, crash.linked_pids, crash.restart_count} == {nil, nil, 0}
    end

    test "a child of a DynamicSupervisor, and what the supervisor says of it" do
      {:ok, supervisor} = DynamicSupervisor.start_link(strategy: :one_for_one)
      {:ok, pid} = DynamicSupervisor.start_child(supervisor, Mortals.child(state: 1))
      GenServer.cast(pid, {:exit, :over})
      until_dead(pid)
      assert crash(pid).supervisor_pid == supervisor

      {:ok, other} = DynamicSupervisor.start_child(supervisor, Mortals.child([state: 2], restart: :temporary))
      Process.exit(other, :kill)
      assert crash(other).crash_reason == :killed
      assert length(crashes()) == 2
    end

    test "a task, alone or under a supervisor" do
      {:ok, pid} = Task.start(fn -> raise "in a task" end)
      until_dead(pid)
      assert {%RuntimeError{message: "in a task"}, [_ | _]} = crash(pid).crash_reason

      supervisor = start_supervised!(Task.Supervisor)
      task = Task.Supervisor.async_nolink(supervisor, fn -> exit(:enough) end)
      catch_exit(Task.await(task))
      assert crash(task.pid).crash_reason == :enough
      assert crash(task.pid).supervisor_pid == supervisor
    end

    test "plainly spawned processes, for which the emulator speaks" do
      error = spawn(fn -> :erlang.error(:plain) end)
      thrown = spawn(fn -> throw(:plain) end)
      assert {:plain, [_ | _]} = crash(error).crash_reason
      assert {{:nocatch, :plain}, [_ | _]} = crash(thrown).crash_reason
    end

    test "a server that does not get through its init" do
      Process.flag(:trap_exit, true)
      {:error, :bad_start} = Server.start_link(state: {:fail, :bad_start})
      # since OTP 26 the starter is told by the answer alone
      [%{pid: pid}] = until(fn -> match?([_], crashes()) && crashes() end, "the crash")
      assert crash(pid).crash_reason == :bad_start
      assert self() in crash(pid).linked_pids
    end
  end

  describe "no crash is" do
    test "an end that was in order" do
      for reason <- [:normal, :shutdown, {:shutdown, :done}] do
        pid = Mortals.server()
        GenServer.cast(pid, {:stop, reason})
        until_dead(pid)
      end

      pid = spawn(fn -> exit(:unreported) end)
      until_dead(pid)
      assert crashes() == []
    end

    test "an event handler that was taken away, whose process goes on" do
      {:ok, pid} = :gen_event.start_link()
      :gen_event.add_handler(pid, ElixirScopeTest.Mortals.Handler, nil)
      :gen_event.sync_notify(pid, :fail)
      assert Process.alive?(pid)
      assert crashes() == []
    end

    test "one of a process that is muted" do
      pid = spawn(fn -> ElixirScope.Muted.run(fn -> :erlang.error(:unseen) end) end)
      muted = spawn(fn -> ElixirScope.Muted.forever() && :erlang.error(:unseen) end)
      until_dead(pid)
      until_dead(muted)
      seen = spawn(fn -> :erlang.error(:seen) end)
      crash(seen)
      assert crashes(pid: muted) == []
    end

    @tag recorder: [crashes: false]
    test "recorded where the configuration says so" do
      pid = Mortals.server()
      GenServer.cast(pid, {:exit, :over})
      until_dead(pid)
      assert crashes() == []
      refute Enum.any?(:logger.get_primary_config().filters, &match?({ElixirScope.Life.Crashes, _}, &1))
    end
  end

  describe "restarts are counted" do
    test "of a child with a name, killed or not" do
      Mortals.supervise([Mortals.child(name: :mortal), Mortals.child(name: :other)])

      pids =
        for how <- [:kill, :raise, :kill, :raise] do
          pid = Process.whereis(:mortal)
          if how == :kill, do: Process.exit(pid, :kill), else: GenServer.cast(pid, {:exit, :over})
          after_restart(:mortal, pid)
          pid
        end

      assert Enum.map(pids, &crash(&1).restart_count) == [0, 1, 2, 3]
      other = Process.whereis(:other)
      GenServer.cast(other, {:exit, :over})
      after_restart(:other, other)
      assert crash(other).restart_count == 0
    end

    test "of nameless children of one kind, as their supervisor tells" do
      children = for id <- [:a, :b], do: Mortals.child([state: id], id: id)
      supervisor = Mortals.supervise(children)

      child = fn id ->
        Enum.find_value(Supervisor.which_children(supervisor), &(elem(&1, 0) == id && elem(&1, 1)))
      end

      counts =
        for id <- [:a, :a, :b, :a] do
          pid = child.(id)
          GenServer.cast(pid, {:exit, :over})
          until_dead(pid)
          until(fn -> child.(id) not in [pid, :restarting] end)
          {id, crash(pid).restart_count}
        end

      assert counts == [a: 0, a: 1, b: 0, a: 2]
    end
  end

  test "a storm of crashes is cut, and what is left out is told" do
    # these report themselves; what the emulator says goes through a process that gives up some of it in a storm
    pids = for _ <- 1..2_500, do: :proc_lib.spawn(fn -> exit(:storm) end)
    Enum.each(pids, &until_dead/1)
    status = ElixirScope.status().crashes
    assert status.recorded + status.skipped == 2_500
    assert length(crashes()) == status.recorded
    assert status.recorded >= 1_000

    told = fn ->
      for %{operation: :skipped} = event <- all_events(event_type: :trace_control), do: event.limits.skipped
    end

    until(fn -> Enum.sum(told.()) == status.skipped end, "word of those that were left out")
  end

  test "the filter is in front of all others while the recorder runs, and gone when it has stopped" do
    :logger.add_primary_filter(:swallow, {fn _event, _arg -> :stop end, nil})
    on_exit(fn -> :logger.remove_primary_filter(:swallow) end)
    ElixirScope.stop()
    ElixirScope.start()
    assert [{ElixirScope.Life.Crashes, _} | _] = :logger.get_primary_config().filters
    pid = spawn(fn -> :erlang.error(:swallowed) end)
    assert {:swallowed, _} = crash(pid).crash_reason
    ElixirScope.stop()
    refute List.keymember?(:logger.get_primary_config().filters, ElixirScope.Life.Crashes, 0)
  end

  test "secrets of a state are masked, and large ones cut" do
    [secret, large] =
      for state <- [%{password: "hunter2"}, Enum.to_list(1..10_000)] do
        pid = Mortals.server(state: state)
        GenServer.cast(pid, {:exit, :over})
        until_dead(pid)
        crash(pid).process_state
      end

    assert secret == %{password: %ElixirScope.Redacted{}}
    assert %ElixirScope.Truncated{kind: :list} = List.last(large)
  end

  test "natives take whatever comes" do
    huge = Enum.to_list(1..100_000)

    for pid <- [:no_pid, nil, hd(Port.list()), make_ref(), {self(), 1}, huge] do
      assert Native.crash_note(pid, huge, huge, huge, huge, huge) == :ok
    end

    assert crashes() == []
    assert is_binary(Native.crash_state(huge))
    assert Native.crash_note(self(), huge, "no encoded term", nil, nil, nil) == :ok
    assert [%Events.CrashDump{}] = crashes(payload: false)
    ElixirScope.pause()
    assert Native.crash_state(huge) == nil
    assert Native.crash_note(self(), 1, nil, nil, nil, nil) == :ok
    ElixirScope.resume()
    assert length(crashes(payload: false)) == 1
  end

  test "a crash is recorded where our own processes have crashed" do
    for pid <- [Process.whereis(ElixirScope.Life.Teller), Process.whereis(ElixirScope.Recorder.Server)] do
      Process.exit(pid, :kill)
      until_dead(pid)
    end

    pid = spawn(fn -> :erlang.error(:later) end)
    assert {:later, _} = crash(pid).crash_reason
  end
end
