defmodule ElixirScope.ResilienceTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.Test.OwnNode

  describe "each process of ours, killed under load" do
    @tag recorder: [storage: [memory_limit: 128 * 1_048_576]]
    test "leaves the tape, the configuration and the recording as they were" do
      :ok = ElixirScope.update_config([:capture, :max_depth], 9)
      {:ok, tree} = Supervisor.start_link([ElixirScope], strategy: :one_for_one)
      {:ok, ref} = ElixirScope.subscribe_to_events(where: [{[:name], :==, :never}])
      Trace.event(:mark, nil)

      # Heavy, but not so heavy that the mark leaves the tape.
      load =
        start_load(fn ->
          for n <- 1..20, do: Trace.event(:load, n)
          Process.sleep(1)
        end)

      victims = [
        fn -> child_of(tree, ElixirScope) end,
        fn -> ElixirScope.Subscriptions.Table.relay(ref) end,
        fn -> Process.whereis(ElixirScope.Subscriptions.Relays) end,
        fn -> Process.whereis(ElixirScope.Subscriptions.Supervisor) end,
        fn -> Process.whereis(ElixirScope.Performance.Monitor) end,
        fn -> Process.whereis(ElixirScope.Recorder.Server) end
      ]

      for victim <- victims, _twice <- 1..2 do
        dead = until(victim, "a process to kill")
        Process.exit(dead, :kill)
        until_dead(dead)

        # Asked at once, in the middle of the restart.
        before = recorded()
        assert ElixirScope.start() == :ok
        assert is_map(ElixirScope.Performance.Monitor.get_metrics())
        assert ElixirScope.get_config().capture.max_depth == 9

        assert until(
                 fn ->
                   new = victim.()
                   new != dead && new
                 end,
                 "a successor of #{inspect(dead)}"
               )

        next_round(load)
        assert recorded() > before
        assert [%{name: :mark}] = ElixirScope.get_events(where: [{[:name], :==, :mark}])
      end

      # All of them at once; now even the application is gone.
      top = Process.whereis(ElixirScope.Patience.root())
      Process.exit(top, :kill)
      until_dead(top)
      next_round(load)
      assert [%{name: :mark}] = ElixirScope.get_events(where: [{[:name], :==, :mark}])

      until(fn ->
        match?({:ok, _apps}, Application.ensure_all_started(:elixir_scope)) &&
          Process.whereis(ElixirScope.Patience.root())
      end)

      assert [%{name: :mark}] = ElixirScope.get_events(where: [{[:name], :==, :mark}])
      assert ElixirScope.get_config().capture.max_depth == 9

      stop_load(load)
      Supervisor.stop(tree)
      refute ElixirScope.running?()
    end
  end

  describe "stop/0 under load" do
    test "ends cleanly, and a new start begins with an empty tape" do
      loads =
        for _ <- 1..4 do
          start_load(fn ->
            Trace.span "load", %{n: 1} do
              Trace.event(:inside, [1, 2, 3])
            end
          end)
        end

      readers = for _ <- 1..2, do: start_load(fn -> ElixirScope.get_events(limit: 100) end)

      for _ <- 1..10 do
        assert ElixirScope.stop() == :ok
        refute ElixirScope.running?()
        assert ElixirScope.start() == :ok
        born = ElixirScope.now()
        Enum.each(loads, &next_round/1)
        Enum.each(readers, &next_round/1)
        assert [oldest] = ElixirScope.get_events(limit: 1, after: 0)
        assert oldest.timestamp > born - 1_000_000_000
        assert ElixirScope.status().faults.panics == 0
      end

      Enum.each(loads ++ readers, &stop_load/1)
    end

    test "answers every query that it interrupts" do
      readers =
        for _ <- 1..4 do
          start_load(fn ->
            case ElixirScope.get_events(limit: 50) do
              events when is_list(events) -> :ok
              {:error, :not_running} -> :ok
            end
          end)
        end

      for _ <- 1..25 do
        ElixirScope.stop()
        ElixirScope.start()
      end

      Enum.each(readers, &next_round/1)
      Enum.each(readers, &stop_load/1)
    end
  end

  describe "the library, loaded again while processes record" do
    test "goes on recording, and takes no process along" do
      loads =
        for _ <- 1..4 do
          start_load(fn ->
            Trace.span "load" do
              Trace.event(:inside, nil)
            end
          end)
        end

      for _ <- 1..8 do
        # No process is in code that is two loads old: each has begun and ended a round since the last one.
        Enum.each(loads, &next_round/1)
        :code.purge(ElixirScope.Native)
        assert {:module, ElixirScope.Native} = :code.load_file(ElixirScope.Native)
        assert ElixirScope.Native.load_failure() == nil
        assert ElixirScope.running?()

        before = recorded()
        Enum.each(loads, &next_round/1)
        assert recorded() > before
      end

      assert Enum.all?(loads, fn {pid, _counter} -> Process.alive?(pid) end)
      Enum.each(loads, &stop_load/1)
    end
  end

  describe "System.stop under load" do
    test "ends the node cleanly" do
      {output, status} =
        OwnNode.run("""
        require ElixirScope.Trace
        {:ok, _} = Application.ensure_all_started(:elixir_scope)
        {:ok, _} = Supervisor.start_link([ElixirScope], strategy: :one_for_one)
        write = fn write -> ElixirScope.Trace.event(:load, %{some: ["data", 1]}); write.(write) end
        for _ <- 1..8, do: spawn(fn -> write.(write) end)
        read = fn read -> ElixirScope.get_events(limit: 100); read.(read) end
        spawn(fn -> read.(read) end)
        wait = fn wait -> if ElixirScope.count_events() < 50_000, do: wait.(wait) end
        wait.(wait)
        IO.puts("recording")
        System.stop(0)
        Process.sleep(:infinity)
        """)

      assert {String.trim(output), status} == {"recording", 0}
    end

    test "System.halt needs no clean-up" do
      {output, status} =
        OwnNode.run("""
        require ElixirScope.Trace
        {:ok, _} = Application.ensure_all_started(:elixir_scope)
        :ok = ElixirScope.start()
        write = fn write -> ElixirScope.Trace.event(:load, nil); write.(write) end
        for _ <- 1..4, do: spawn(fn -> write.(write) end)
        wait = fn wait -> if ElixirScope.count_events() < 10_000, do: wait.(wait) end
        wait.(wait)
        System.halt(7)
        """)

      assert {String.trim(output), status} == {"", 7}
    end
  end

  describe "more memory than the system has" do
    @tag recorder: false
    test "is an error, and the emulator goes on" do
      vast = Bitwise.bsl(1, 60)

      for {what, answer} <- [
            {"the start of the recorder", fn -> ElixirScope.start(capture: [total_bytes: vast]) end},
            {"the start of the recorder", fn -> ElixirScope.start(storage: [memory_limit: vast]) end},
            {"making a store of events",
             fn -> ElixirScope.Storage.EventStore.start_link(memory_limit: vast) end}
          ] do
        assert {:error, %ElixirScope.Error{reason: {:out_of_memory, _bytes}} = error} = answer.()
        assert Exception.message(error) =~ what
        refute ElixirScope.running?()
      end
    end

    @tag recorder: false
    test "is not wanted for numbers beyond 64 bits that only bound something" do
      vast = Bitwise.bsl(1, 70)
      budgets = [max_payload_bytes: vast, max_depth: vast, max_length: vast, buffer_size: vast]
      assert :ok = ElixirScope.start(capture: budgets, storage: [max_events: vast, max_age_ms: vast])
      Trace.event(:bounded, {1, [2, %{three: 3}]})
      assert [%{data: {1, [2, %{three: 3}]}}] = ElixirScope.get_events(pid: self(), limit: vast)
    end
  end

  describe "without the native library" do
    test "marks do nothing, and the front door says what is missing" do
      {output, status} =
        OwnNode.run(
          """
          require ElixirScope.Trace, as: Trace
          {:ok, _} = Application.ensure_all_started(:elixir_scope)
          :ok = Trace.event(:name, nil)
          :ok = Trace.metric(:name, 1)
          3 = (Trace.span "span" do 3 end)
          :ok = Trace.snapshot()
          :ok = ElixirScope.Native.event({1, {Enum, :map, 0, "", 0, 0, [], :mark}}, :name, nil)
          -1 = ElixirScope.Native.enter_0({1, {Enum, :map, 0, "", 0, 0, [], :mark}})
          :ok = ElixirScope.Native.exit({1, {Enum, :map, 0, "", 0, 0, [], :mark}}, -1, nil)
          false = ElixirScope.running?()
          {:error, :not_running} = ElixirScope.get_events()
          %{running: false, library: %{error: _}} = ElixirScope.status()
          {:error, error} = ElixirScope.start()
          {:error, ^error} = ElixirScope.start_link()
          {:error, ^error} = ElixirScope.Capture.RingBuffer.new(size: 8)
          {:error, ^error} = ElixirScope.Storage.EventStore.start_link()
          :ok = ElixirScope.stop()
          ^error = try do ElixirScope.Native.now() rescue error in ElixirScope.Error -> error end
          IO.puts(Exception.message(error))
          """,
          %{"ELIXIR_SCOPE_LIBRARY" => "/nowhere/elixir_scope_nif.so"}
        )

      assert status == 0, output

      assert String.starts_with?(
               output,
               "the native library of ElixirScope could not be loaded from /nowhere/elixir_scope_nif: "
             )
    end
  end

  # Events go from the tape for its limits: this counts all that were recorded.
  defp recorded, do: ElixirScope.status().capture.events

  defp child_of(supervisor, id) do
    case List.keyfind(Supervisor.which_children(supervisor), id, 0) do
      {^id, pid, _type, _modules} when is_pid(pid) -> pid
      _restarting -> nil
    end
  end
end
