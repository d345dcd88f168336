defmodule ElixirScope.Instrument.LiveTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScopeTest.Specimen

  setup do
    on_exit(fn ->
      ElixirScope.start()
      ElixirScope.uninstrument(Specimen)
      ElixirScope.stop()
      :code.soft_purge(Specimen)
    end)
  end

  defp calls(opts \\ []) do
    for event <- all_events([module: Specimen, event_type: [:function_entry, :function_exit]] ++ opts) do
      {event.event_type, event.function, event.arity}
    end
  end

  describe "instrument/2" do
    test "records public functions and callbacks with arguments, results and lines" do
      :ok = ElixirScope.instrument(Specimen)
      assert Specimen.add(2, 3) == 5
      [entry, exit] = all_events(module: Specimen, function: :add)
      assert %{args: [2, 3], arity: 2, clause: 1, line: 6, call_id: id, pid: pid} = entry
      assert pid == self()
      assert %{result: 5, exit_reason: :normal, call_id: ^id} = exit
      assert exit.duration_ns >= 0
      assert String.ends_with?(entry.file, "test/support/specimen.ex")
    end

    test "leaves private functions out unless it is told otherwise" do
      :ok = ElixirScope.instrument(Specimen)
      assert Specimen.picky(:a) == {:hidden, :a}
      assert calls() == [{:function_entry, :picky, 1}, {:function_exit, :picky, 1}]
      :ok = ElixirScope.instrument(Specimen, strategy: :full_trace)
      since = ElixirScope.now()
      Specimen.picky(:b)
      assert {:function_entry, :hidden, 1} in calls(since: since)
    end

    test "records a call that no clause takes, with the error that it raises" do
      :ok = ElixirScope.instrument(Specimen)
      # by apply, so that no compiler finds out
      assert_raise FunctionClauseError, fn -> apply(Specimen, :picky, [1]) end
      [entry, exit] = all_events(module: Specimen, function: :picky)
      assert entry.args == [1]
      assert {:error, :function_clause, [{Specimen, :picky, [1], _} | _]} = exit.exit_reason
    end

    test "masks arguments by their names" do
      :ok = ElixirScope.instrument(Specimen)
      assert Specimen.login("ann", "secret") == 6
      assert [%{args: ["ann", %ElixirScope.Redacted{}]} | _] = all_events(function: :login)
    end

    test "takes only the functions that are named, without arguments and results where that is wanted" do
      :ok = ElixirScope.instrument(Specimen, functions: [:add, picky: 1], args: false, returns: false)
      Specimen.twice(1)
      Specimen.picky(:a)
      events = all_events(module: Specimen, event_type: [:function_entry, :function_exit])
      assert Enum.map(events, & &1.function) == [:add, :add, :picky, :picky]
      assert Enum.map(events, &Map.get(&1, :args)) == [[], nil, [], nil]
      assert Enum.all?(events, &(Map.get(&1, :result) == nil))
    end

    test "records states, replies and messages of a server, under one cause with its caller's" do
      :ok = ElixirScope.instrument(Specimen)
      {:ok, server} = Specimen.start_link(%{})
      assert Specimen.put(server, :cart, 7) == :ok
      [sent] = all_events(event_type: :message_send)
      assert %{send_type: :call, receiver_pid: ^server, message: {:put, :cart, 7}} = sent

      assert [
               %{new_state: %{}},
               %{new_state: %{cart: 7}, callback: :handle_call, trigger_message: {:put, :cart, 7}}
             ] = all_events(pid: server, event_type: :state_change)

      assert [%{reply: :ok, callback: :handle_call}] = all_events(pid: server, event_type: :callback_reply)
      assert [%{behaviour: GenServer} | _] = all_events(pid: server, function: :handle_call)
    end

    test "records the local variables at the end of a function, or before a line" do
      :ok = ElixirScope.instrument(Specimen, functions: [:login], locals: true)
      Specimen.login("ann", "secret")
      assert [%{bindings: bindings}] = all_events(event_type: :variable_assignment)
      assert %{password: %ElixirScope.Redacted{}} = bindings
      line = Enum.find_value(Specimen.__info__(:functions), fn _ -> 11 end)
      :ok = ElixirScope.instrument(Specimen, functions: [:count_down], locals: [line])
      Specimen.count_down(1)

      assert [%{bindings: %{n: 1}, line: 11}] =
               all_events(event_type: :variable_assignment, function: :count_down)
    end

    test "does not touch the beam, the docs, the attributes or the source of a module" do
      before = {:code.which(Specimen), Specimen.module_info(:attributes), Specimen.module_info(:compile)}
      exports = Enum.sort(Specimen.module_info(:exports))
      docs = Code.fetch_docs(Specimen)
      :ok = ElixirScope.instrument(Specimen, strategy: :full_trace)

      assert {:code.which(Specimen), Specimen.module_info(:attributes), Specimen.module_info(:compile)} ==
               before

      assert Enum.sort(Specimen.module_info(:exports)) == exports
      assert Code.fetch_docs(Specimen) == docs
    end

    test "never kills a process: code that is in use is an error, and the module stays as it was" do
      waiting = spawn(&Specimen.wait/0)
      :ok = ElixirScope.instrument(Specimen)
      until(fn -> :erlang.check_process_code(waiting, Specimen) end, "the process runs the old code")

      assert ElixirScope.instrument(Specimen, strategy: :full_trace) ==
               {:error, {:old_code_in_use, [waiting]}}

      assert Process.alive?(waiting)
      Specimen.add(1, 1)
      assert calls() == [{:function_entry, :add, 2}, {:function_exit, :add, 2}]
      send(waiting, :stop)
    end

    test "takes a list as a whole or not at all" do
      assert {:error, %{reason: {:unknown_module, NoSuchModule}}} =
               ElixirScope.instrument([Specimen, NoSuchModule])

      Specimen.add(1, 1)
      assert calls() == []
    end

    @tag recorder: [modules: [ElixirScopeTest.Specimen]]
    test "is done at the start for the modules that the configuration names" do
      Specimen.add(1, 1)
      assert calls() == [{:function_entry, :add, 2}, {:function_exit, :add, 2}]
    end
  end

  describe "what cannot be instrumented" do
    test "is told with its reason" do
      assert message_of(ElixirScope.instrument(:lists)) =~ "force: true"
      assert message_of(ElixirScope.instrument(:code, force: true)) =~ "code loading"
      assert message_of(ElixirScope.instrument(:erlang, force: true)) =~ "preloaded"
      assert message_of(ElixirScope.instrument(ElixirScope.Config)) =~ "ElixirScope itself"
      assert message_of(ElixirScope.instrument(:crypto)) =~ "native functions"
      assert message_of(ElixirScope.instrument(NoSuchModule)) =~ "NoSuchModule is no module"
      assert message_of(ElixirScope.instrument("Specimen")) =~ "a module, or a list of modules"
      assert message_of(ElixirScope.instrument([])) =~ "a module, or a list of modules"
      assert message_of(ElixirScope.instrument(Specimen, functions: [:nope])) =~ "has no function :nope"
      assert message_of(ElixirScope.instrument(Specimen, functions: [add: 7])) =~ "has no function {:add, 7}"
      assert message_of(ElixirScope.instrument(Specimen, strategy: :all)) =~ "one of :minimal"
      assert message_of(ElixirScope.instrument(Specimen, locals: [0])) =~ "a list of line numbers"
      assert message_of(ElixirScope.instrument(Specimen, arguments: true)) =~ "unknown option :arguments"
      assert message_of(ElixirScope.instrument(Specimen, debug_info: "/no/such/file")) =~ "no such file"
      assert calls() == []
    end

    test "a module that was stripped names what helps, and takes its debug information from elsewhere" do
      {beam, path} = with({_, beam, path} <- :code.get_object_code(Specimen), do: {beam, path})
      dir = Path.join(System.tmp_dir!(), "scope-#{System.unique_integer([:positive])}")
      File.mkdir_p!(dir)
      {:ok, {_, stripped}} = :beam_lib.strip(beam)
      File.write!(Path.join(dir, "#{Specimen}.beam"), stripped)
      :code.add_patha(String.to_charlist(dir))

      try do
        error = message_of(ElixirScope.instrument(Specimen))
        assert error =~ ~s(strip_beams: [keep: ["Dbgi"]]) and error =~ "trace/2"
        assert :ok = ElixirScope.instrument(Specimen, debug_info: List.to_string(path))
        assert Specimen.add(1, 1) == 2
        assert calls() == [{:function_entry, :add, 2}, {:function_exit, :add, 2}]
        File.write!(Path.join(dir, "#{Specimen}.beam"), binary_part(stripped, 0, 100))
        assert message_of(ElixirScope.instrument(Specimen)) =~ "damaged"
        assert Specimen.add(1, 1) == 2
      after
        :code.del_path(String.to_charlist(dir))
        File.rm_rf!(dir)
      end
    end

    test "says so while nothing runs" do
      ElixirScope.stop()
      assert ElixirScope.instrument(Specimen) == {:error, :not_running}
      assert ElixirScope.uninstrument(Specimen) == {:error, :not_running}
      assert ElixirScope.update_instrumentation(strategy: :minimal) == {:error, :not_running}
    end
  end

  describe "uninstrument/1" do
    test "brings the plain code back, and does nothing for a plain module" do
      plain = Specimen.module_info(:md5)
      :ok = ElixirScope.instrument(Specimen)
      refute Specimen.module_info(:md5) == plain
      assert ElixirScope.uninstrument(Specimen) == :ok
      assert Specimen.module_info(:md5) == plain
      assert ElixirScope.uninstrument([Specimen, URI]) == :ok
      assert {:error, %{reason: {:unknown_module, NoSuchModule}}} = ElixirScope.uninstrument(NoSuchModule)
    end

    test "switches off at once and brings the code back when nobody is in the way" do
      plain = Specimen.module_info(:md5)
      old = spawn(&Specimen.wait/0)

      until(
        fn -> match?({:current_function, {Specimen, :wait, 0}}, Process.info(old, :current_function)) end,
        "it waits"
      )

      :ok = ElixirScope.instrument(Specimen)
      assert ElixirScope.uninstrument(Specimen) == {:ok, :pending}
      Specimen.add(1, 1)
      assert calls() == []
      assert Process.alive?(old)
      send(old, :stop)
      until(fn -> Specimen.module_info(:md5) == plain end, "the plain code is back")
    end
  end

  describe "update_instrumentation/1" do
    test "switches modules and functions off and on, while they run" do
      :ok = ElixirScope.instrument(Specimen)
      :ok = ElixirScope.update_instrumentation(disable: [{Specimen, :add, 2}])
      Specimen.twice(1)
      assert calls() == [{:function_entry, :twice, 1}, {:function_exit, :twice, 1}]
      :ok = ElixirScope.update_instrumentation(disable: [Specimen])
      since = ElixirScope.now()
      Specimen.twice(1)
      assert calls(since: since) == []
      :ok = ElixirScope.update_instrumentation(enable: [{Specimen, :add, 2}])
      Specimen.twice(1)
      assert calls(since: since) == [{:function_entry, :add, 2}, {:function_exit, :add, 2}]
    end

    test "narrows what was compiled in, and widens it again" do
      :ok = ElixirScope.instrument(Specimen, strategy: :full_trace)
      :ok = ElixirScope.update_instrumentation(strategy: :balanced)
      Specimen.picky(:a)
      assert calls() == [{:function_entry, :picky, 1}, {:function_exit, :picky, 1}]
      :ok = ElixirScope.update_instrumentation(strategy: :minimal)
      {:ok, server} = Specimen.start_link(%{})
      since = ElixirScope.now()
      Specimen.put(server, 1, 2)
      assert [:handle_call, :handle_call] = for({_, function, _} <- calls(since: since), do: function)
      :ok = ElixirScope.update_instrumentation(strategy: :full_trace)
      since = ElixirScope.now()
      Specimen.picky(:a)
      assert {:function_entry, :hidden, 1} in calls(since: since)
    end

    test "adds and removes modules, and samples" do
      :ok = ElixirScope.update_instrumentation(add_modules: [Specimen], sampling_rate: 0.0)
      Specimen.add(1, 1)
      assert calls() == []
      :ok = ElixirScope.update_instrumentation(sampling_rate: 1)
      Specimen.add(1, 1)
      assert length(calls()) == 2
      assert ElixirScope.update_instrumentation(remove_modules: [Specimen]) == :ok
      Specimen.add(1, 1)
      assert length(calls()) == 2
    end

    test "refuses what it does not know" do
      assert message_of(ElixirScope.update_instrumentation(strategy: :none)) =~ "one of :minimal"

      assert message_of(ElixirScope.update_instrumentation(disable: [{Specimen, "add", 2}])) =~
               "a list of modules and"

      assert message_of(ElixirScope.update_instrumentation(sampling: 1)) =~ "unknown option :sampling"
      assert message_of(ElixirScope.update_instrumentation(add_modules: [NoSuchModule])) =~ "is no module"
    end
  end

  describe "status/0" do
    test "names what records itself, and the switches" do
      :ok = ElixirScope.instrument(Specimen)
      :ok = ElixirScope.update_instrumentation(strategy: :minimal, disable: [{Specimen, :add, 2}])

      assert %{modules: modules, pending: [], strategy: :minimal, rules: rules} =
               ElixirScope.status().instrumentation

      assert Specimen in modules
      assert {{Specimen, :add, 2}, false} in rules
      :ok = ElixirScope.update_instrumentation(strategy: :full_trace)
      :ok = ElixirScope.uninstrument(Specimen)
      assert %{modules: modules, rules: rules} = ElixirScope.status().instrumentation
      refute Specimen in modules
      refute Enum.any?(rules, &match?({{Specimen, _, _}, _}, &1))
    end
  end

  describe "use ElixirScope.Instrument" do
    test "in a script takes effect when the module is compiled, and can be taken back" do
      [{module, _beam}] =
        Code.compile_string("""
        defmodule ElixirScope.TestScripts.Used do
          use ElixirScope.Instrument, functions: [:a]
          def a(x), do: x + 1
          def b(x), do: x + 1
        end
        """)

      # a module of our own namespace is refused
      assert apply(module, :a, [1]) == 2
      assert all_events(module: module) == []

      [{module, _beam}] =
        Code.compile_string("""
        defmodule UsedInScript do
          use ElixirScope.Instrument, functions: [:a]
          def a(x), do: x + 1
          def b(x), do: x + 1
        end
        """)

      assert {apply(module, :a, [1]), apply(module, :b, [1])} == {2, 2}
      assert Enum.map(all_events(module: module), & &1.function) == [:a, :a]
      assert ElixirScope.uninstrument(module) == :ok
      assert apply(module, :a, [1]) == 2
      assert length(all_events(module: module)) == 2
      :code.soft_purge(module)
      :code.delete(module)
    end

    test "refuses wrong options where the module is compiled" do
      assert_raise ArgumentError, ~r/functions.*expected :all, :public, or a list/, fn ->
        Code.compile_string("defmodule Wrong do use ElixirScope.Instrument, functions: 7 end")
      end
    end
  end
end
