defmodule ElixirScope.Instrument.HostileTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.Error
  alias ElixirScope.Instrument.Server
  alias ElixirScope.Test.Instrumented
  alias ElixirScopeTest.Specimen

  # A module whose plain beam lies on the code path, as those of a running system do.
  setup_all do
    dir = Path.join(System.tmp_dir!(), "elixir_scope_hostile_#{System.pid()}")
    File.mkdir_p!(dir)
    true = Code.prepend_path(dir)

    on_exit(fn ->
      Code.delete_path(dir)
      File.rm_rf!(dir)
    end)

    %{dir: dir}
  end

  setup do
    on_exit(fn ->
      ElixirScope.start()
      ElixirScope.uninstrument(Specimen)
      ElixirScope.stop()
      :code.soft_purge(Specimen)
    end)
  end

  defp on_disk(text, dir) do
    {module, beam} = Instrumented.beam(text)
    path = Path.join(dir, "#{module}.beam")
    File.write!(path, beam)
    {:module, ^module} = :code.load_file(module)

    on_exit(fn ->
      ElixirScope.start()
      ElixirScope.uninstrument(module)
      ElixirScope.stop()
      Instrumented.unload(module)
      File.rm(path)
    end)

    module
  end

  # What a call left on the tape, as text.
  defp tape(module, function, args) do
    since = ElixirScope.now()

    try do
      apply(module, function, args)
    catch
      _class, _reason -> :raised
    end

    inspect(all_events(since: since, pid: self()), limit: :infinity, printable_limit: :infinity)
  end

  describe "a secret argument" do
    setup %{dir: dir} do
      text = """
      defmodule HostileSecrets do
        def unused(user, _password), do: user
        def picky(user, password) when is_binary(password), do: user
        def clauses("", pw), do: byte_size(pw)
        def clauses(_user, password), do: byte_size(password)
        def literal(_user, ""), do: :empty
        def literal(_user, password), do: byte_size(password)
        def prefix("Bearer " <> token), do: byte_size(token)
        def outer(user, password), do: [inner(user, password)]
        defp inner(_user, token) when is_integer(token), do: token
        def native(password), do: [:erlang.binary_to_integer(password)]
      end
      """

      module = on_disk(text, dir)
      :ok = ElixirScope.instrument(module, strategy: :full_trace)
      %{module: module}
    end

    test "is masked where the function does not use it", %{module: module} do
      refute tape(module, :unused, ["ann", "hunter2"]) =~ "hunter2"
    end

    test "is masked in every clause if one of them names it", %{module: module} do
      refute tape(module, :clauses, ["", "hunter2"]) =~ "hunter2"
      refute tape(module, :clauses, ["ann", "hunter2"]) =~ "hunter2"
      refute tape(module, :literal, ["ann", "hunter2"]) =~ "hunter2"
      refute tape(module, :prefix, ["Bearer hunter2"]) =~ "hunter2"
    end

    test "is masked where no clause takes it, in the arguments and in the stack trace", %{module: module} do
      refute tape(module, :picky, ["ann", :hunter2]) =~ "hunter2"

      assert [%{args: ["ann", %ElixirScope.Redacted{}]}] =
               all_events(function: :picky, event_type: :function_entry)

      assert [
               %{
                 exit_reason:
                   {:error, :function_clause, [{_, :picky, ["ann", %ElixirScope.Redacted{}], _} | _]}
               }
             ] = all_events(function: :picky, event_type: :function_exit)
    end

    test "is not on the tape by way of another function's frame", %{module: module} do
      refute tape(module, :outer, ["ann", "hunter2"]) =~ "hunter2"
      refute tape(module, :native, ["hunter2"]) =~ "hunter2"

      assert [%{exit_reason: {:error, :badarg, [{:erlang, :binary_to_integer, 1, _} | _]}}] =
               all_events(function: :native, event_type: :function_exit)
    end

    test "is still in the error that the program sees", %{module: module} do
      {:error, stack} =
        try do
          apply(module, :outer, ["ann", "hunter2"])
        catch
          :error, :function_clause -> {:error, __STACKTRACE__}
        end

      assert [{^module, :inner, ["ann", "hunter2"], _} | _] = stack
    end
  end

  test "a process that becomes a server in its init/1 leaves that call: each request has a cause of its own",
       %{
         dir: dir
       } do
    text = """
    defmodule HostileLoop do
      use GenServer
      def start_link(n), do: {:ok, :proc_lib.spawn_link(__MODULE__, :init, [n])}
      @impl true
      def init(n), do: :gen_server.enter_loop(__MODULE__, [], n)
      @impl true
      def handle_call(:trace, _from, n), do: {:reply, Process.info(self(), :current_stacktrace), n}
      def handle_call(_request, _from, n), do: {:reply, n, n + 1}
      def next(server), do: GenServer.call(server, :next)
    end
    """

    module = on_disk(text, dir)
    :ok = ElixirScope.instrument(module)
    {:ok, server} = module.start_link(1)
    for n <- 1..3, do: assert(Task.await(Task.async(fn -> module.next(server) end)) == n)
    # its answer comes after the end of the third call
    {:current_stacktrace, stack} = GenServer.call(server, :trace)
    refute List.keymember?(stack, :init, 1)

    [_, _, _ | _] = entries = all_events(pid: server, function: :handle_call, event_type: :function_entry)
    causes = for entry <- Enum.take(entries, 3), do: {entry.parent_id, entry.correlation_id}
    assert Enum.all?(causes, &match?({nil, _cause}, &1))
    assert length(Enum.uniq(causes)) == 3
    assert [%{exit_reason: :tail_call}] = all_events(pid: server, function: :init, event_type: :function_exit)
  end

  test "a fun of the plain code that lies in a table can be called while its module records itself", %{
    dir: dir
  } do
    module = on_disk("defmodule HostileFuns do\n  def make(n), do: fn x -> {x, n} end\nend", dir)
    table = :ets.new(:funs, [:public])
    Task.await(Task.async(fn -> :ets.insert(table, {:fun, module.make(1)}) end))
    call = fn -> Task.await(Task.async(fn -> :ets.lookup_element(table, :fun, 2).(7) end)) end

    :ok = ElixirScope.instrument(module)
    assert call.() == {7, 1}
    :ok = ElixirScope.uninstrument(module)
    assert call.() == {7, 1}
  end

  describe "update_instrumentation/1" do
    test "changes nothing where a part of what is asked for cannot be" do
      before = {ElixirScope.get_config().sampling_rate, ElixirScope.status().instrumentation}
      now = fn -> {ElixirScope.get_config().sampling_rate, ElixirScope.status().instrumentation} end

      for part <- [
            [add_modules: [NoSuchModule]],
            [add_modules: [Specimen], remove_modules: [NoSuchModule]],
            [add_modules: [Specimen, :code]],
            [add_modules: [Specimen], remove_modules: [Specimen]]
          ] do
        opts = [sampling_rate: 0.5, strategy: :minimal, disable: [Specimen]] ++ part
        assert {:error, %Error{} = error} = ElixirScope.update_instrumentation(opts)
        assert Exception.message(error) =~ ~r/NoSuchModule|:code|Specimen/
        assert now.() == before
      end
    end
  end

  describe "bad input" do
    test "an attribute of the module's own with our name is an error, not a crash", %{dir: dir} do
      for value <- ["5", ":mine", "[1 | 2]", "[mine: 1]"] do
        text = """
        defmodule HostileAttribute do
          Module.register_attribute(__MODULE__, :elixir_scope, persist: true)
          @elixir_scope #{value}
          def f(x), do: x
        end
        """

        module = on_disk(text, dir)
        assert message_of(ElixirScope.instrument(module)) =~ ~r/keyword list of options|unknown option :mine/
        assert module.f(1) == 1
      end
    end

    test "a function that a module names and does not have ends its compilation" do
      for {options, missing} <- [{"functions: [:no, f: 1]", ":no"}, {"state: {:loop, 1, 0}", "{:loop, 1}"}] do
        text = """
        defmodule HostileUse do
          use ElixirScope.Instrument, #{options}
          def f(x), do: x
        end
        """

        error = assert_raise(ArgumentError, fn -> Code.compile_string(text) end)
        Instrumented.unload(HostileUse)
        assert error.message =~ "HostileUse has no function #{missing}: expected"
      end
    end
  end

  test "cycles of instrumenting leave nothing behind: no process, atom, place, or persistent term" do
    cycle = fn ->
      :ok = ElixirScope.instrument([Specimen, Version], strategy: :full_trace, locals: true)
      Specimen.twice(1)
      {:ok, server} = Specimen.start_link(%{})
      Specimen.put(server, :a, 1)
      GenServer.stop(server)
      :ok = ElixirScope.update_instrumentation(disable: [{Specimen, :add, 2}])
      :ok = ElixirScope.uninstrument([Specimen, Version])
    end

    for _ <- 1..3, do: cycle.()
    before = left_behind()
    for _ <- 1..10, do: cycle.()
    assert {processes, atoms, ^before} = {Process.list(), :erlang.system_info(:atom_count), left_behind()}
    for _ <- 1..10, do: cycle.()
    assert length(Process.list()) < length(processes) + 5
    assert :erlang.system_info(:atom_count) < atoms + 5
  end

  defp left_behind, do: {ElixirScope.status().sites, :persistent_term.info().count, Server.modules()}

  @tag timeout: 60_000
  test "a system under load sees nothing of many who instrument, switch, kill and restart at once", %{
    dir: dir
  } do
    text = """
    defmodule HostileLoad do
      use GenServer
      def start_link(n), do: GenServer.start_link(__MODULE__, n)
      def add(server, k), do: GenServer.call(server, {:add, k}, :infinity)
      def sum(n), do: Enum.reduce(1..n, 0, fn x, sum -> sum + step(x) end)
      defp step(x) when rem(x, 2) == 0, do: x
      defp step(_x), do: 1
      def risk(n) do
        risky(n)
      rescue
        error in ArgumentError -> error.message
      end
      defp risky(n) when n > 2, do: raise(ArgumentError, "bad")
      defp risky(_n), do: "good"
      @impl true
      def init(n), do: {:ok, n}
      @impl true
      def handle_call({:add, k}, _from, n), do: {:reply, n + k, n + k}
    end
    """

    module = on_disk(text, dir)
    {:ok, {_, md5}} = :beam_lib.md5(:code.which(module))
    done = :atomics.new(1, [])

    workers =
      for _ <- 1..200 do
        Task.async(fn ->
          {:ok, server} = module.start_link(0)
          work(module, server, 0, done)
        end)
      end

    operators = for seed <- 1..3, do: Task.async(fn -> operate(module, seed, 12) end)
    for round <- 1..8, do: disturb(round)
    Task.await_many(operators, 30_000)
    :atomics.put(done, 1, 1)
    assert Enum.all?(Task.await_many(workers, 30_000), &(&1 > 0))

    # all is as if nothing had been
    :ok = ElixirScope.start()
    assert ElixirScope.instrument(module, functions: [:sum]) == :ok
    module.sum(3)
    assert [_entry, _exit] = all_events(module: module, pid: self())
    assert ElixirScope.uninstrument(module) == :ok
    assert module.module_info(:md5) == md5
    assert %{modules: [], pending: []} = ElixirScope.status().instrumentation
  end

  defp work(module, server, n, done) do
    ^n = module.add(server, 0)
    35 = module.sum(10)
    expected = if rem(n, 5) > 2, do: "bad", else: "good"
    ^expected = module.risk(rem(n, 5))
    next = module.add(server, 1)
    Process.sleep(5)
    if :atomics.get(done, 1) == 1, do: next, else: work(module, server, next, done)
  end

  defp operate(_module, _seed, 0), do: :ok

  defp operate(module, seed, rounds) do
    answer =
      case rem(seed + rounds, 4) do
        0 -> ElixirScope.instrument(module, strategy: :full_trace)
        1 -> ElixirScope.update_instrumentation(strategy: :minimal, disable: [{module, :sum, 1}])
        2 -> ElixirScope.uninstrument(module)
        3 -> ElixirScope.update_instrumentation(add_modules: [module], strategy: :full_trace)
      end

    assert answer in [:ok, {:ok, :pending}, {:error, :not_running}] or
             match?({:error, {:old_code_in_use, _pids}}, answer)

    operate(module, seed, rounds - 1)
  end

  defp disturb(round) do
    Process.sleep(30)

    if rem(round, 4) == 0 do
      :ok = ElixirScope.stop()
      :ok = ElixirScope.start()
    else
      server = Process.whereis(Server)
      if server, do: Process.exit(server, :kill)
    end
  end

  describe "killing the instrumentation server" do
    test "between loading a module and answering leaves a module that can be taken back" do
      [plain, made] =
        for _ <- 1..2 do
          {Specimen, beam, _path} = :code.get_object_code(Specimen)
          beam
        end

      made = Instrumented.instrument(made)
      {:ok, {_, md5}} = :beam_lib.md5(plain)
      path = :code.which(Specimen)
      server = Process.whereis(Server)
      # it dies as soon as the module is loaded
      loading = %{module: Specimen, path: path, beam: made, plain_beam: plain, md5: md5, functions: [add: 2]}
      :sys.suspend(server)
      caller = spawn(fn -> GenServer.call(Server, {:load, [loading]}, :infinity) end)
      until(fn -> Process.info(server, :message_queue_len) == {:message_queue_len, 1} end, "the request")
      watcher = spawn_link(fn -> kill_when_loaded(server, md5) end)
      :sys.resume(server)
      until(fn -> not Process.alive?(server) or not Process.alive?(watcher) end, "its end")
      until(fn -> not Process.alive?(caller) end, "the caller's end")
      until(fn -> Process.whereis(Server) not in [nil, server] end, "its successor")

      assert ElixirScope.instrument(Specimen) == :ok
      assert ElixirScope.uninstrument(Specimen) == :ok
      assert Specimen.module_info(:md5) == md5
      assert Server.modules() == %{}
    end

    test "leaves no module on the list that is plain" do
      :ok = ElixirScope.instrument(Specimen)
      {Specimen, plain, path} = :code.get_object_code(Specimen)
      :code.soft_purge(Specimen)
      {:module, Specimen} = :code.load_binary(Specimen, path, plain)
      server = Process.whereis(Server)
      Process.exit(server, :kill)
      until(fn -> Process.whereis(Server) not in [nil, server] end, "its successor")
      # it answers when it has looked around
      :sys.get_state(Server)
      assert ElixirScope.status().instrumentation.modules == []
    end
  end

  defp kill_when_loaded(server, plain) do
    if Process.alive?(server) do
      if Specimen.module_info(:md5) == plain,
        do: kill_when_loaded(server, plain),
        else: Process.exit(server, :kill)
    end
  end
end
