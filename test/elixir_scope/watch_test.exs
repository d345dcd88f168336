defmodule ElixirScope.WatchTest do
  use ElixirScope.Test.RecorderCase

  import ElixirScopeTest.Watchable, only: [debug_functions: 1]

  alias ElixirScope.{Error, Watch}
  alias ElixirScopeTest.{Specimen, Watchable}
  alias ElixirScopeTest.Watchable.{Counter, Door, Handler}

  setup do
    {:ok, counter} = Counter.start_link(0)
    %{counter: counter}
  end

  # A second call is taken up after all that the first one led to.
  defp add(counter, n) do
    sum = GenServer.call(counter, {:add, n})
    assert GenServer.call(counter, :get) == sum
  end

  defp the_watch do
    [watch] = ElixirScope.status().watches
    watch
  end

  defp no_watch, do: until(fn -> ElixirScope.status().watches == [] end, "the end of the watch")
  defp untouched(pid), do: until(fn -> debug_functions(pid) == [] end, "the process to be as it was")

  describe "watch/2" do
    test "follows a server through replies, casts, messages and continuations", %{counter: counter} do
      {:ok, ref} = ElixirScope.watch(counter)
      add(counter, 1)
      GenServer.cast(counter, {:add, 1})
      send(counter, {:add, 1})
      send(counter, {:later, 1})
      add(counter, 1)

      assert %{ref: ^ref, pid: ^counter, module: Counter, mode: :changes, recorded: 5} = the_watch()
    end

    test "records nothing for an event that leaves the state as it is", %{counter: counter} do
      {:ok, _ref} = ElixirScope.watch(counter)
      for _ <- 1..10, do: GenServer.call(counter, :get)
      assert the_watch().recorded == 0
    end

    test "takes a process by its name" do
      {:ok, named} = Agent.start_link(fn -> 0 end, name: :a_watched_agent)
      {:ok, _ref} = ElixirScope.watch(:a_watched_agent)
      assert %{pid: ^named, module: Agent.Server} = the_watch()
      ElixirScope.unwatch(:all)

      {:ok, named} = Agent.start_link(fn -> 0 end, name: {:global, :a_watched_agent})
      {:ok, _ref} = ElixirScope.watch({:global, :a_watched_agent})
      assert %{pid: ^named} = the_watch()
    end

    test "follows supervisors" do
      {:ok, supervisor} = Supervisor.start_link([], strategy: :one_for_one)
      {:ok, dynamic} = DynamicSupervisor.start_link(strategy: :one_for_one)
      {:ok, _ref} = ElixirScope.watch(supervisor)
      {:ok, _ref} = ElixirScope.watch(dynamic)
      {:ok, _child} = Supervisor.start_child(supervisor, {Agent, fn -> 0 end})
      {:ok, _child} = DynamicSupervisor.start_child(dynamic, {Agent, fn -> 0 end})
      Supervisor.count_children(supervisor)
      DynamicSupervisor.count_children(dynamic)
      watches = Map.new(ElixirScope.status().watches, &{&1.pid, &1})
      assert %{module: :supervisor, mode: :changes, recorded: 1} = watches[supervisor]
      assert %{module: :supervisor, mode: :changes, recorded: 1} = watches[dynamic]
    end

    test "follows a state machine, name and data, and leaves both alone" do
      {:ok, door} = Door.start_link()
      {:ok, _ref} = ElixirScope.watch(door)

      for {request, recorded} <- [open: 1, knock: 1, close: 2, open: 3] do
        :ok = :gen_statem.call(door, request)
        :sys.get_state(door)
        assert the_watch().recorded == recorded
      end

      assert :sys.get_state(door) == {:open, %{opened: 2}}
      assert Process.info(door, :message_queue_len) == {:message_queue_len, 0}
    end

    test "takes the servers of Phoenix, which say that they began in what they drive and who called them" do
      for {function, module} <- [mount: Phoenix.LiveView.Channel, join: Phoenix.Channel.Server] do
        {:ok, server} = Agent.start_link(fn -> 0 end)

        # as these do in their first callback
        Agent.update(server, fn count ->
          Process.put(:"$initial_call", {Driven, function, 3})
          Process.put(:"$callers", [self()])
          count
        end)

        {:ok, ref} = ElixirScope.watch(server)
        assert %{module: ^module, mode: :changes} = the_watch()
        Agent.update(server, &(&1 + 1))
        assert ElixirScope.get_state_at(server, :last, module: module) == 1
        ElixirScope.unwatch(ref)
      end
    end

    test "takes agents, also those that hibernate" do
      {:ok, agent} = Agent.start_link(fn -> 0 end)
      {:ok, sleeper} = Agent.start_link(fn -> 0 end, hibernate_after: 1)

      # where a process sleeps: since OTP 28 in a function of the behaviour's own
      until(fn ->
        {:current_function, {_module, name, _arity}} = Process.info(sleeper, :current_function)
        name in [:hibernate, :loop_hibernate]
      end)

      for process <- [agent, sleeper] do
        {:ok, ref} = ElixirScope.watch(process)
        assert %{module: Agent.Server} = the_watch()
        Agent.update(process, &(&1 + 1))
        assert Agent.get(process, & &1) == 1
        assert the_watch().recorded == 1
        ElixirScope.unwatch(ref)
      end
    end

    test "looks at others on a timer, and records only what is new" do
      {:ok, manager} = :gen_event.start_link()
      :ok = :gen_event.add_handler(manager, Handler, nil)
      {:ok, _ref} = ElixirScope.watch(manager, interval: 5)
      assert %{mode: :interval, interval: 5, recorded: 0, module: :gen_event} = the_watch()
      :gen_event.sync_notify(manager, :one)
      until(fn -> the_watch().recorded == 1 end)
      :gen_event.sync_notify(manager, :two)
      until(fn -> the_watch().recorded == 2 end)
      assert debug_functions(manager) == []
    end

    test "records a change once, however many watch it", %{counter: counter} do
      {:ok, one} = ElixirScope.watch(counter)
      add(counter, 1)
      {:ok, two} = ElixirScope.watch(counter, max: 100)
      assert [_one_function] = debug_functions(counter)
      add(counter, 1)
      recorded = Map.new(ElixirScope.status().watches, &{&1.ref, &1.recorded})
      assert recorded == %{one => 2, two => 1}

      ElixirScope.unwatch(one)
      add(counter, 1)
      assert %{ref: ^two, recorded: 2} = the_watch()
      ElixirScope.unwatch(two)
      assert debug_functions(counter) == []
    end

    test "can be called by many at once", %{counter: counter} do
      tasks =
        for n <- 1..20 do
          Task.async(fn ->
            {:ok, ref} = ElixirScope.watch(counter, link: false)
            if rem(n, 2) == 0, do: ElixirScope.unwatch(ref)
            ref
          end)
        end

      Task.await_many(tasks)
      assert length(ElixirScope.status().watches) == 10
      add(counter, 1)
      assert [_one_function] = debug_functions(counter)
      ElixirScope.unwatch(:all)
      assert debug_functions(counter) == []
    end

    test "turns from looks on a timer to every change, when somebody wants that", %{counter: counter} do
      {:ok, _looks} = ElixirScope.watch(counter, interval: 1_000)
      assert %{mode: :interval} = the_watch()
      {:ok, changes} = ElixirScope.watch(counter)
      assert Enum.map(ElixirScope.status().watches, & &1.mode) == [:changes, :changes]
      add(counter, 1)
      ElixirScope.unwatch(changes)
      assert %{recorded: 1} = the_watch()
    end
  end

  describe "what a watched process holds" do
    test "stays as it was: dictionary, links, monitors, mailbox and state", %{counter: counter} do
      look = fn -> Process.info(counter, [:dictionary, :links, :monitors, :message_queue_len]) end
      before = look.()
      {:ok, ref} = ElixirScope.watch(counter)
      add(counter, 5)
      assert look.() == before
      ElixirScope.unwatch(ref)
      assert look.() == before
      assert :sys.get_state(counter) == 5
      assert debug_functions(counter) == []
    end

    test "is not disturbed by the debug functions of others, nor disturbs them", %{counter: counter} do
      parent = self()

      tell = fn seen, event, _ ->
        send(parent, {:mine, event})
        seen
      end

      :sys.install(counter, {:mine, tell, nil})
      {:ok, ref} = ElixirScope.watch(counter)
      add(counter, 5)
      assert_receive {:mine, {:out, 5, _from, 5}}
      ElixirScope.unwatch(ref)
      assert [mine: _function] = debug_functions(counter)
    end
  end

  describe "a limit" do
    test "of changes ends the watch exactly there", %{counter: counter} do
      {:ok, _ref} = ElixirScope.watch(counter, max: 3)
      for _ <- 1..10, do: GenServer.call(counter, {:add, 1})
      no_watch()
      assert debug_functions(counter) == []
    end

    test "of one watch leaves the others alone", %{counter: counter} do
      {:ok, _short} = ElixirScope.watch(counter, max: 3)
      {:ok, long} = ElixirScope.watch(counter, max: 20)
      for _ <- 1..10, do: GenServer.call(counter, {:add, 1})
      until(fn -> length(ElixirScope.status().watches) == 1 end)
      assert %{ref: ^long, recorded: 10} = the_watch()
      for _ <- 1..15, do: GenServer.call(counter, {:add, 1})
      no_watch()
    end

    test "of time ends it though nothing happens", %{counter: counter} do
      {:ok, _ref} = ElixirScope.watch(counter, for: 30)
      no_watch()
      assert debug_functions(counter) == []
    end

    test "of a second ends it, and spares the process", %{counter: counter} do
      {:ok, _ref} = ElixirScope.watch(counter, rate: 10)
      for _ <- 1..50, do: GenServer.call(counter, {:add, 1})
      no_watch()
      assert debug_functions(counter) == []
    end

    @tag recorder: [traces: [max: 2, for: 60_000, rate: 77]]
    test "that is not named is that of the configuration", %{counter: counter} do
      {:ok, _ref} = ElixirScope.watch(counter)
      assert %{max: 2, for: 60_000, rate: 77} = the_watch()
      {:ok, _ref} = ElixirScope.watch(counter, max: :infinity, for: :infinity, rate: :infinity)
      for _ <- 1..5, do: add(counter, 1)
      assert %{max: :infinity, recorded: 5} = the_watch()
    end

    test "holds for looks on a timer too" do
      {:ok, manager} = :gen_event.start_link()
      :ok = :gen_event.add_handler(manager, Handler, nil)
      {:ok, _ref} = ElixirScope.watch(manager, interval: 1, max: 1)
      :gen_event.sync_notify(manager, :one)
      no_watch()
    end
  end

  describe "a watch ends" do
    test "with unwatch/1, from any process, and more than once", %{counter: counter} do
      {:ok, ref} = ElixirScope.watch(counter)
      assert Task.await(Task.async(fn -> ElixirScope.unwatch(ref) end)) == :ok
      assert debug_functions(counter) == []
      assert ElixirScope.unwatch(ref) == :ok
      assert ElixirScope.unwatch(make_ref()) == :ok
      assert ElixirScope.unwatch(:all) == :ok
    end

    test "with its process", %{counter: counter} do
      Process.unlink(counter)
      {:ok, _ref} = ElixirScope.watch(counter)
      Process.exit(counter, :kill)
      no_watch()
      assert Watch.Table.rows() == []
    end

    test "with the process that asked, unless it was told not to", %{counter: counter} do
      {:ok, free} =
        Task.await(
          Task.async(fn ->
            {:ok, _linked} = ElixirScope.watch(counter)
            ElixirScope.watch(counter, link: false)
          end)
        )

      until(fn -> length(ElixirScope.status().watches) == 1 end)
      assert %{ref: ^free} = the_watch()
    end

    test "with stop/0", %{counter: counter} do
      {:ok, _ref} = ElixirScope.watch(counter)
      ElixirScope.stop()
      assert debug_functions(counter) == []
      assert Watch.Table.rows() == []
      ElixirScope.start()
      assert ElixirScope.status().watches == []
    end

    test "while its process is busy, which takes the rest back when it comes to it", %{counter: counter} do
      {:ok, ref} = ElixirScope.watch(counter)
      task = Task.async(fn -> GenServer.call(counter, {:hold, self(), 5_000}, 10_000) end)
      until(fn -> match?({:message_queue_len, 0}, Process.info(counter, :message_queue_len)) end)
      assert ElixirScope.unwatch(ref) == :ok
      assert ElixirScope.status().watches == []
      send(counter, :let_go)
      assert Task.await(task) == :held
      assert debug_functions(counter) == []
    end

    for {what, kill} <- [follower: :follower, supervisor: ElixirScope.Watch.Followers] do
      test "when our own process is killed, and leaves nothing behind (the #{what})", %{counter: counter} do
        {:ok, _ref} = ElixirScope.watch(counter)
        [{^counter, follower, _left}] = Watch.Table.rows()
        victim = if unquote(kill) == :follower, do: follower, else: Process.whereis(unquote(kill))
        Process.exit(victim, :kill)
        until_dead(follower)
        untouched(counter)
        until(fn -> Watch.Table.rows() == [] end)

        {:ok, _ref} = ElixirScope.watch(counter)
        add(counter, 1)
        assert the_watch().recorded == 1
      end
    end
  end

  describe "watch/2 refuses" do
    test "what is no process", %{counter: counter} do
      expected = "a pid, or the name of a process"

      for wrong <- [nil, "name", 1, {:via, "x", 1}, [counter]] do
        assert {:error, %Error{reason: {:invalid_option, :process, ^wrong, ^expected}}} =
                 ElixirScope.watch(wrong)
      end

      assert message_of(ElixirScope.watch(:nobody_has_this_name)) =~
               "there is no process :nobody_has_this_name"

      dead = spawn(fn -> :ok end)
      until_dead(dead)
      assert {:error, %Error{reason: {:no_process, ^dead}}} = ElixirScope.watch(dead)
      assert ElixirScope.watch({:name, :elsewhere@nohost}) == {:error, {:remote, :elsewhere@nohost}}
    end

    test "a wrong option", %{counter: counter} do
      for {option, expected} <- [
            {{:for, 0}, "a positive integer or :infinity"},
            {{:max, -1}, "a positive integer or :infinity"},
            {{:rate, 1.5}, "a positive integer or :infinity"},
            {{:interval, :infinity}, "a positive integer"},
            {{:link, nil}, "true or false"},
            {{:force, 1}, "true or false"}
          ] do
        assert message_of(ElixirScope.watch(counter, [option])) =~ "expected #{expected}"
      end

      assert message_of(ElixirScope.watch(counter, every: 1)) =~ "unknown option :every"
      assert message_of(ElixirScope.watch(counter, :always)) =~ "a keyword list of options"

      assert message_of(ElixirScope.unwatch(counter)) =~
               "a reference that ElixirScope.watch/2 answered, or :all"

      assert ElixirScope.status().watches == []
    end

    test "processes of ours, and the calling one", %{counter: counter} do
      {:ok, store} = ElixirScope.Storage.EventStore.start_link()
      {:ok, _ref} = ElixirScope.watch(counter)
      [{_pid, follower, _left}] = Watch.Table.rows()

      ours = [
        ElixirScope.Patience.root(),
        ElixirScope.Recorder.Server,
        ElixirScope.Watch.Followers,
        ElixirScope.Subscriptions.Relays,
        store,
        follower
      ]

      for process <- ours do
        assert message_of(ElixirScope.watch(process, force: true)) =~ "one of ElixirScope's own"
      end

      assert message_of(ElixirScope.watch(self(), force: true)) =~ "the calling process"
    end

    test "the same watch twice", %{counter: counter} do
      {:ok, ref} = ElixirScope.watch(counter, max: 10)

      assert {:error, %Error{reason: {:already_watched, ^counter}, details: %{ref: ^ref}}} =
               error = ElixirScope.watch(counter, max: 10)

      assert message_of(error) =~ "already watched"
      assert {:ok, _other} = ElixirScope.watch(counter, max: 11)
      assert {:ok, _others} = Task.await(Task.async(fn -> ElixirScope.watch(counter, max: 10) end))
    end

    test "a process that is none of OTP's, and sends it nothing" do
      plain = spawn_link(Watchable, :loop, [self()])
      {:ok, task} = Task.start_link(Watchable, :loop, [self()])
      linked = :proc_lib.spawn_link(Watchable, :loop, [self()])

      for process <- [plain, task, linked] do
        assert message_of(ElixirScope.watch(process)) =~ "not started as a process of an OTP behaviour"
        assert message_of(ElixirScope.watch(process, interval: 10)) =~ "not started as"
      end

      refute_received {:took, _message}
    end

    test "one that does not answer, in time, and lives on" do
      plain = spawn_link(Watchable, :loop, [self()])
      assert message_of(ElixirScope.watch(plain, force: true)) =~ "a system message to #{inspect(plain)}"
      assert message_of(ElixirScope.watch(plain, force: true, interval: 10)) =~ "in 1000 ms"
      assert Process.alive?(plain)
      assert ElixirScope.status().watches == []
    end

    test "one that is busy, and leaves nothing in it", %{counter: counter} do
      task = Task.async(fn -> GenServer.call(counter, {:hold, self(), 5_000}, 10_000) end)
      pid = task.pid
      until(fn -> Process.info(pid, :message_queue_len) == {:message_queue_len, 1} end)
      assert {:error, %Error{reason: {:timeout, 1_000}}} = ElixirScope.watch(counter)
      send(counter, :let_go)
      assert Task.await(task) == :held
      assert debug_functions(counter) == []
      add(counter, 1)
      assert debug_functions(counter) == []
    end

    test "one whose behaviour does not tell, unless it is to be looked at" do
      {:ok, manager} = :gen_event.start_link()
      assert message_of(ElixirScope.watch(manager)) =~ "interval: ms"
      assert debug_functions(manager) == []
    end

    test "one whose module records its states itself" do
      on_exit(fn ->
        ElixirScope.start()
        ElixirScope.uninstrument(Specimen)
        ElixirScope.stop()
      end)

      :ok = ElixirScope.instrument(Specimen)
      {:ok, server} = Specimen.start_link(%{})
      assert message_of(ElixirScope.watch(server)) =~ "its module ElixirScopeTest.Specimen is instrumented"
      assert {:ok, _ref} = ElixirScope.watch(server, force: true)
    end

    @tag recorder: false
    test "everything while the recorder does not run", %{counter: counter} do
      assert ElixirScope.watch(counter) == {:error, :not_running}
      assert ElixirScope.unwatch(:all) == {:error, :not_running}
    end
  end
end
