defmodule ElixirScopeTest do
  use ElixirScope.Test.RecorderCase

  @moduletag recorder: false

  doctest ElixirScope
  doctest ElixirScope.Performance.Monitor

  describe "start/1 and stop/0" do
    test "begin and end the recording" do
      refute ElixirScope.running?()
      assert ElixirScope.start() == :ok
      assert ElixirScope.running?()
      Trace.event(:taped, nil)
      assert ElixirScope.count_events(pid: self()) == 1

      assert ElixirScope.stop() == :ok
      refute ElixirScope.running?()
      assert ElixirScope.get_events() == {:error, :not_running}
    end

    test "free the tape: the next one is empty" do
      ElixirScope.start()
      Trace.event(:taped, nil)
      ElixirScope.stop()
      ElixirScope.start()
      assert ElixirScope.get_events(pid: self()) == []
    end

    test "can be repeated: a second start changes nothing" do
      assert ElixirScope.start(sampling_rate: 0.5) == :ok
      Trace.event(:taped, nil)
      assert ElixirScope.start(sampling_rate: 1.0) == :ok
      assert ElixirScope.get_config().sampling_rate == 0.5
      assert ElixirScope.count_events(pid: self()) == 1

      assert ElixirScope.stop() == :ok
      assert ElixirScope.stop() == :ok
    end

    test "can be called by many at once" do
      tasks =
        for n <- 1..40,
            do: Task.async(fn -> if rem(n, 2) == 0, do: ElixirScope.start(), else: ElixirScope.stop() end)

      assert Enum.uniq(Task.await_many(tasks, 60_000)) == [:ok]

      assert ElixirScope.stop() == :ok
      refute ElixirScope.running?()
    end

    test "do nothing when it is not enabled" do
      assert ElixirScope.start(enabled: false) == :ok
      refute ElixirScope.running?()

      with_env(%{"ELIXIR_SCOPE_ENABLED" => "false"}, fn ->
        assert ElixirScope.start(enabled: true) == :ok
        refute ElixirScope.running?()
      end)
    end

    test "need the application" do
      Application.stop(:elixir_scope)
      assert message_of(ElixirScope.start()) =~ "the application :elixir_scope is not started"
      assert ElixirScope.stop() == :ok
    end

    test "never begin by themselves" do
      Application.stop(:elixir_scope)
      {:ok, _apps} = Application.ensure_all_started(:elixir_scope)
      refute ElixirScope.running?()
    end

    test "end with the application" do
      ElixirScope.start()
      Application.stop(:elixir_scope)
      refute ElixirScope.running?()
    end
  end

  describe "pause/0 and resume/0" do
    @tag recorder: []
    test "interrupt the recording, not the tape" do
      Trace.event(:before, nil)
      assert ElixirScope.pause() == :ok
      assert ElixirScope.running?()
      assert ElixirScope.status().paused
      Trace.event(:during, nil)
      assert [%{name: :before}] = ElixirScope.get_events(pid: self())
      assert ElixirScope.pause() == :ok

      assert ElixirScope.resume() == :ok
      refute ElixirScope.status().paused
      Trace.event(:after, nil)
      assert [%{name: :before}, %{name: :after}] = ElixirScope.get_events(pid: self())
      assert ElixirScope.resume() == :ok
    end
  end

  describe "{ElixirScope, opts} in a supervision tree" do
    test "starts with the tree and stops with it" do
      {:ok, supervisor} = Supervisor.start_link([{ElixirScope, sampling_rate: 0.5}], strategy: :one_for_one)
      assert ElixirScope.running?()
      assert ElixirScope.get_config().sampling_rate == 0.5

      Supervisor.stop(supervisor)
      refute ElixirScope.running?()
    end

    test "adopts a recorder that runs" do
      ElixirScope.start(sampling_rate: 0.5)
      Trace.event(:taped, nil)

      {:ok, supervisor} = Supervisor.start_link([{ElixirScope, sampling_rate: 0.1}], strategy: :one_for_one)
      assert ElixirScope.get_config().sampling_rate == 0.5
      assert ElixirScope.count_events(pid: self()) == 1

      Supervisor.stop(supervisor)
      refute ElixirScope.running?()
    end

    test "keeps the tape through a crash and a restart" do
      {:ok, supervisor} = Supervisor.start_link([ElixirScope], strategy: :one_for_one)
      Trace.event(:taped, nil)

      [{ElixirScope, child, :worker, _modules}] = Supervisor.which_children(supervisor)
      Process.exit(child, :kill)
      until_dead(child)

      until(fn ->
        match?([{_, new, _, _}] when is_pid(new) and new != child, Supervisor.which_children(supervisor))
      end)

      assert ElixirScope.running?()
      assert [%{name: :taped}] = ElixirScope.get_events(pid: self())

      Supervisor.stop(supervisor)
      refute ElixirScope.running?()
    end

    test "is left out when it is not enabled" do
      assert ElixirScope.start_link(enabled: false) == :ignore
      {:ok, supervisor} = Supervisor.start_link([{ElixirScope, enabled: false}], strategy: :one_for_one)
      refute ElixirScope.running?()
      Supervisor.stop(supervisor)
    end

    test "is there once" do
      {:ok, child} = ElixirScope.start_link()
      assert ElixirScope.start_link() == {:error, {:already_started, child}}
      GenServer.stop(child)
      refute ElixirScope.running?()
    end
  end

  describe "status/0" do
    test "tells what an event costs, and what our own thread took" do
      assert ElixirScope.status().overhead.capture_ns == nil
      for n <- 1..20_000, do: Trace.event(:timed, n)
      wait_until(fn -> ElixirScope.status().overhead.cpu_ns > 0 end, "a look at the thread's time")
      assert ElixirScope.status().overhead.capture_ns in 1..1_000_000
    end

    test "tells that nothing runs" do
      assert %{running: false, node: node, config: %{strategy: :balanced}, library: %{profile: _, version: _}} =
               ElixirScope.status()

      assert node == node()
    end

    @tag recorder: [storage: [memory_limit: 2_000_000]]
    test "measures" do
      before = ElixirScope.status()
      for n <- 1..500, do: Trace.event(:n, n)
      assert ElixirScope.count_events(pid: self()) == 500
      status = ElixirScope.status()

      assert status.running
      assert DateTime.diff(DateTime.utc_now(), status.started_at) in 0..60
      assert status.capture.events - before.capture.events == 500
      assert status.capture.writers >= 1
      assert status.capture.bytes > 0 and status.capture.capacity_bytes >= status.capture.bytes
      assert status.capture.lost |> Map.values() |> Enum.sum() == 0
      assert status.store.events == ElixirScope.count_events()
      assert status.store.memory_limit == 2_000_000
      assert status.store.bytes.total > 0
      assert status.store.oldest <= status.store.newest
      assert status.store.newest <= ElixirScope.now()
      assert status.store.evicted == 0
      assert is_integer(status.clock.skew_ns)
      assert status.faults == %{panics: 0, last: nil}

      assert until(
               fn -> ElixirScope.status().overhead.cpu_ns > 0 end,
               "the time of our own threads, told once a second"
             )

      assert status.subscriptions == 0
    end

    @tag recorder: [storage: [memory_limit: 1_048_576]]
    test "stays within the memory limit, and counts what was evicted" do
      for n <- 1..60_000, do: Trace.event(:n, {n, "some hundred bytes", make_ref(), make_ref(), make_ref()})
      ElixirScope.count_events()
      status = ElixirScope.status()
      assert status.store.bytes.total <= 1_048_576
      assert status.store.evicted > 0
      lost = status.capture.lost |> Map.values() |> Enum.sum()
      assert ElixirScope.count_events(event_type: :user_event) + status.store.evicted + lost >= 60_000
    end
  end

  describe "ElixirScope.Performance.Monitor.get_metrics/0" do
    @tag recorder: []
    test "tells what was recorded lately" do
      until(fn -> ElixirScope.Performance.Monitor.get_metrics().window_ms >= 0 end)
      before = ElixirScope.Performance.Monitor.get_metrics()
      for n <- 1..100, do: Trace.event(:n, n)
      assert ElixirScope.count_events() == 100
      metrics = ElixirScope.Performance.Monitor.get_metrics()

      assert metrics.events - before.events == 100
      assert metrics.events_per_second > 0
      assert metrics.lost == 0
      assert metrics.store_events >= 100
      assert metrics.store_bytes > 0
    end
  end
end
