defmodule ElixirScope.Tracing.RefusalTest do
  use ElixirScope.Test.RecorderCase

  import ElixirScope.Test.Traces

  alias ElixirScope.Error
  alias ElixirScope.Tracing.Session
  alias ElixirScopeTest.{Specimen, Traced}

  setup do
    on_exit(fn ->
      ElixirScope.untrace(:all)
      assert_nothing_left()
    end)
  end

  defp refused(target, opts \\ []) do
    assert {:error, %Error{reason: {:not_traceable, _what, kind}} = error} = ElixirScope.trace(target, opts)
    assert Exception.message(error) =~ "force: true"
    assert ElixirScope.status().traces == []
    kind
  end

  defp forced(target, opts \\ []) do
    assert {:ok, ref} = ElixirScope.trace(target, [force: true] ++ opts)
    ElixirScope.untrace(ref)
  end

  describe "what could hurt the node is refused unless it is forced:" do
    test "wildcards on modules that everything calls" do
      for target <- [
            {:module, Enum},
            {:lists, :_, :_},
            {GenServer, :call, :_},
            [{Traced, :one, 1}, {:module, :ets}]
          ] do
        assert refused(target) == :hot_module
      end

      assert {:ok, _ref} = ElixirScope.trace({Enum, :chunk_every, 2})
      forced({:module, Keyword}, events: [:call])
    end

    test "returns of loops, whatever this OTP calls them" do
      loops =
        for module <- [:gen_server, :gen_statem, :gen_event],
            {name, arity} <- module.module_info(:functions),
            Atom.to_string(name) =~ ~r/^(loop|wake)/,
            do: {module, name, arity}

      assert loops |> Enum.map(&elem(&1, 0)) |> Enum.uniq() == [:gen_server, :gen_statem, :gen_event]

      for loop <- loops do
        assert refused(loop) == :loop_function
        assert refused(loop, events: [:call, :exception]) == :loop_function
        assert refused(self(), functions: [loop]) == :loop_function
        assert refused(self(), only_inside: loop) == :loop_function
      end

      assert {:ok, _ref} = ElixirScope.trace(hd(loops), events: [:call])
    end

    test "processes and functions of ours" do
      assert refused(ElixirScope.Tracing.Server) == :ours
      assert refused([self(), ElixirScope.Recorder.Server]) == :ours
      assert refused({ElixirScope, :now, 0}) == :ours
      forced({ElixirScope, :now, 0})
    end

    test "the group leader, and what writes the log" do
      assert refused(Process.group_leader()) == :group_leader_or_logger
      assert refused(:logger) == :group_leader_or_logger
      assert refused(:user) == :group_leader_or_logger
      forced(:logger)
    end

    test "processes that are sensitive" do
      assert refused(worker(sensitive: true)) == :sensitive
      forced(worker(sensitive: true))
    end

    test "and a trace control tells of it" do
      refused({:module, Enum})

      assert [%{operation: :refused, target: {:module, Enum}, reason: reason}] =
               all_events(event_type: :trace_control)

      assert {:not_traceable, {:module, Enum}, :hot_module} = reason
    end
  end

  describe "sets of processes leave out" do
    test "ourselves, group leaders and loggers, and say how many" do
      {:ok, _ref} = ElixirScope.trace(:all)
      assert the_trace().left_out.ours_or_writers >= 5
      for name <- [ElixirScope.Tracing.Server, :logger, :user], do: refute(traced?(Process.whereis(name)))
    end

    test "unless they are forced" do
      {:ok, _ref} = ElixirScope.trace(:all, force: true)
      assert the_trace().left_out.ours_or_writers == 0
      send(:logger, :hello)
      until(fn -> all_events(pid: Process.whereis(:logger)) != [] end)
    end
  end

  defp traced?(what) do
    cond do
      Session.sessions?() -> apply(:trace, :session_info, [what]) not in [[], :undefined]
      is_pid(what) -> :erlang.trace_info(what, :tracer) != {:tracer, []}
      true -> :erlang.trace_info(what, :traced) == {:traced, :local}
    end
  end

  describe "functions that record themselves" do
    setup do
      :ok = ElixirScope.instrument(Specimen, functions: :all)
      on_exit(fn -> ElixirScope.uninstrument(Specimen) end)
      %{function: {Specimen, :add, 2}}
    end

    test "are refused", %{function: function} do
      assert {:error, %Error{reason: {:records_itself, ^function}} = error} = ElixirScope.trace(function)
      assert Exception.message(error) =~ "is instrumented"
    end

    test "are recorded once where they are instrumented while a trace runs", %{
      function: function
    } do
      ElixirScope.uninstrument(Specimen)
      {:ok, _ref} = ElixirScope.trace([function, {Traced, :one, 1}])
      :ok = ElixirScope.instrument(Specimen, functions: :all)

      until(fn -> traced?(function) end, "the function to have its pattern again")
      run(worker(), fn -> Specimen.add(1, 1) end)
      assert [_entry, _exit] = all_events(module: Specimen, function: :add)
    end

    test "are left out of more", %{function: function} do
      {:ok, _ref} = ElixirScope.trace([function, {Traced, :one, 1}], events: [:call])
      assert the_trace().left_out.record_themselves == 1
    end
  end

  # Below OTP 27 there is one tracer to a process, and one pattern to a function.
  unless Session.sessions?() do
    describe "what another tool traces" do
      setup do
        {:module, Traced} = Code.ensure_loaded(Traced)
        tracer = spawn_link(fn -> Process.sleep(:infinity) end)
        %{tracer: tracer}
      end

      defp by_other(answer) do
        assert {:error, %Error{reason: {:traced_by_other, what}} = error} = answer
        assert Exception.message(error) =~ "by another tool"
        what
      end

      test "is refused where it is named, and keeps its flags", %{tracer: tracer} do
        worker = worker()
        1 = :erlang.trace(worker, true, [:send, {:tracer, tracer}])
        assert by_other(ElixirScope.trace(worker)) == worker
        assert by_other(ElixirScope.trace([self(), worker])) == worker
        assert :erlang.trace_info(worker, :tracer) == {:tracer, tracer}
        assert :erlang.trace_info(worker, :flags) == {:flags, [:send]}
        :erlang.trace(worker, false, [:all, {:tracer, tracer}])
      end

      test "is left out of sets, and keeps its flags when they end", %{tracer: tracer} do
        worker = worker()
        1 = :erlang.trace(worker, true, [:send, {:tracer, tracer}])
        {:ok, _ref} = ElixirScope.trace(:all)
        assert the_trace().left_out.traced_by_other == 1
        ElixirScope.untrace(:all)
        assert :erlang.trace_info(worker, :flags) == {:flags, [:send]}
        :erlang.trace(worker, false, [:all, {:tracer, tracer}])
      end

      test "keeps its patterns" do
        1 = :erlang.trace_pattern({Traced, :one, 1}, [{[1], [], []}], [:local])
        assert by_other(ElixirScope.trace({Traced, :one, 1})) == {Traced, :one, 1}
        assert by_other(ElixirScope.trace({:module, Traced})) == {Traced, :one, 1}
        assert by_other(ElixirScope.trace(worker(), only_inside: {Traced, :one, 1})) == {Traced, :one, 1}
        assert :erlang.trace_info({Traced, :one, 1}, :match_spec) == {:match_spec, [{[1], [], []}]}
        :erlang.trace_pattern({Traced, :one, 1}, false, [:local])
      end

      test "keeps the pattern of what arrives" do
        pattern = [{[:_, :_, :hello], [], []}]
        :erlang.trace_pattern(:receive, pattern, [])
        assert by_other(ElixirScope.trace(worker())) == :receive
        assert :erlang.trace_info(:receive, :match_spec) == {:match_spec, pattern}
        :erlang.trace_pattern(:receive, true, [])
      end

      test "keeps the processes still to be born", %{tracer: tracer} do
        :erlang.trace(:new_processes, true, [:send, {:tracer, tracer}])
        assert by_other(ElixirScope.trace(:new)) == :new
        assert by_other(ElixirScope.trace({Traced, :one, 1})) == :new
        assert :erlang.trace_info(:new_processes, :tracer) == {:tracer, tracer}
        :erlang.trace(:new_processes, false, [:all, {:tracer, tracer}])
      end
    end

    describe "a tool that comes later" do
      test "takes patterns of all away, and ours come back" do
        {:ok, _ref} = ElixirScope.trace({Traced, :one, 1}, events: [:call])
        :dbg.ctp()
        until(fn -> :erlang.trace_info({Traced, :one, 1}, :traced) == {:traced, :local} end)
        run(worker(), fn -> Traced.one(1) end)
        assert [_call] = all_events(event_type: :function_entry)
      end

      test "sets a pattern of its own on a function, which stays" do
        {:ok, _ref} = ElixirScope.trace({Traced, :one, 1}, events: [:call])
        :erlang.trace_pattern({Traced, :one, 1}, [{[1], [], []}], [:local])
        ElixirScope.untrace(:all)
        assert :erlang.trace_info({Traced, :one, 1}, :match_spec) == {:match_spec, [{[1], [], []}]}
        :erlang.trace_pattern({Traced, :one, 1}, false, [:local])
      end

      test "such as :dbg works beside ours, and leaves them when it stops" do
        [ours, its] = [worker(), worker()]
        {:ok, _ref} = ElixirScope.trace(ours, events: [:send])
        me = self()
        {:ok, _dbg} = :dbg.tracer(:process, {fn message, nil -> send(me, message) && nil end, nil})
        {:ok, _matched} = :dbg.p(its, [:send])
        for worker <- [ours, its], do: run(worker, fn -> :ok end)
        assert_receive {:trace, ^its, :send, _message, _to}
        refute_received {:trace, ^ours, _what, _message, _to}
        :dbg.stop_clear()
        run(ours, fn -> :ok end)
        assert length(all_events(pid: ours)) == 2
        assert all_events(pid: its) == []
      end
    end
  end
end
