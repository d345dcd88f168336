defmodule ElixirScope.Life.ProcessTreeTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScopeTest.{Mortals, Procs}
  alias ElixirScopeTest.Mortals.Server

  @moduletag :capture_log

  defp tree(at \\ :now) do
    tree = ElixirScope.process_tree(at: at)
    assert %{at: _, processes: _, complete: _, reason: _, children: _} = tree
    tree
  end

  defp find(tree, pid), do: Enum.find(flat(tree), &(&1.pid == pid))
  defp flat(%{children: children}), do: Enum.flat_map(children, &[&1 | flat(&1)])

  defp named(tree, name), do: Enum.find(flat(tree), &(&1.name == name))

  # supervisor -> [:first, inner supervisor -> [:second, :third]]
  defp family do
    inner = %{
      id: :inner,
      type: :supervisor,
      start:
        {Supervisor, :start_link,
         [
           [Mortals.child(name: :second), Mortals.child(name: :third)],
           [strategy: :one_for_all, name: :inner, max_restarts: 100]
         ]}
    }

    Mortals.supervise([Mortals.child(name: :first), inner])
  end

  describe "now" do
    test "it is the tree that the processes live in" do
      supervisor = family()
      tree = tree()
      assert {tree.complete, tree.reason} == {true, nil}

      top = find(tree, supervisor)

      assert {top.kind, top.alive, top.initial_call} ==
               {:supervisor, true, {:supervisor, Supervisor.Default, 1}}

      # since OTP 26 supervisors hibernate
      assert {module, function, _arity} = top.current
      assert {module, function} in [gen_server: :loop, gen_server: :loop_hibernate, erlang: :hibernate]
      assert top.parent == self()
      assert [first, inner] = top.children
      assert {first.name, first.kind, first.initial_call} == {:first, :worker, {Server, :init, 1}}
      assert first.links == [supervisor]
      assert {inner.name, inner.kind} == {:inner, :supervisor}
      assert Enum.map(inner.children, &{&1.name, &1.kind}) == [second: :worker, third: :worker]
    end

    test "it has every process once" do
      family()
      before = MapSet.new(Process.list())
      pids = Enum.map(flat(tree()), & &1.pid)
      later = MapSet.new(Process.list())
      assert pids == Enum.uniq(pids)
      both = MapSet.intersection(before, later)
      assert MapSet.subset?(both, MapSet.new(pids))
      assert self() in pids
    end

    test "births that were recorded have their time" do
      Procs.trace()
      before = ElixirScope.now()
      supervisor = family()
      tree = tree()

      for pid <- [supervisor, Process.whereis(:third)] do
        node = find(tree, pid)
        assert node.born_at >= before
        assert node.born_at <= tree.at
      end

      assert find(tree, self()).born_at == nil
    end
  end

  describe "at an earlier time" do
    test "the dead live, the later born do not, and names and links are those of then" do
      Procs.trace()
      supervisor = family()
      [first, second, third] = old = Enum.map([:first, :second, :third], &Process.whereis/1)

      loose =
        spawn(fn ->
          receive(do: (:link -> Process.link(first)))
          receive(do: (:end -> :ok))
        end)

      before = ElixirScope.now()

      GenServer.cast(second, {:exit, :over})
      until(fn -> (pid = Process.whereis(:third)) not in [nil, third] && pid end)
      new = until(fn -> (pid = Process.whereis(:second)) not in [nil, second] && pid end)
      send(loose, :link)
      until(fn -> loose in elem(Process.info(first, :links), 1) end)
      between = ElixirScope.now()
      send(loose, :end)
      until_dead(loose)

      then = tree(before)
      assert {then.complete, then.reason} == {true, nil}
      [first_node, inner] = find(then, supervisor).children
      assert {first_node.pid, first_node.links} == {first, [supervisor]}

      assert Enum.map(inner.children, &{&1.pid, &1.name, &1.alive, &1.kind}) == [
               {second, :second, true, :worker},
               {third, :third, true, :worker}
             ]

      assert [%{exit_reason: :over, exited_at: at}, %{exit_reason: :shutdown}] = inner.children
      assert at > before and at < between
      assert Enum.all?(inner.children, &(&1.links == [inner.pid] and &1.initial_call == {Server, :init, 1}))
      assert %{alive: true, name: nil} = find(then, loose)
      assert find(then, new) == nil

      assert MapSet.new(old) ==
               then
               |> flat()
               |> Enum.map(& &1.pid)
               |> MapSet.new()
               |> MapSet.intersection(MapSet.new([new | old]))

      later = tree(between)
      assert find(later, second) == nil
      assert %{name: :second, restarts: 1, alive: true} = find(later, new)
      assert Enum.sort(find(later, first).links) == Enum.sort([supervisor, loose])
      assert first in find(later, loose).links

      now = tree()
      assert find(now, loose) == nil
      assert find(now, first).links == [supervisor]
      assert named(now, :second).restarts == 1
    end

    test "tasks that are alike are no restarts of one another" do
      Procs.trace()
      supervisor = start_supervised!(Task.Supervisor)
      for _ <- 1..3, do: Task.await(Task.Supervisor.async(supervisor, fn -> :done end))
      last = Task.Supervisor.async(supervisor, fn -> receive(do: (:end -> :ok)) end)
      assert %{restarts: 0, kind: :worker} = find(tree(), last.pid)
      send(last.pid, :end)
      Task.await(last)
    end

    test "what was not traced then is said to be incomplete" do
      family()
      before = ElixirScope.now()
      Procs.trace()
      tree = tree(before)
      assert {tree.complete, tree.reason} == {false, :not_traced}
      assert named(tree, :first)
    end

    test "a parent that has died holds its children" do
      Procs.trace()
      test = self()

      parent =
        spawn(fn ->
          send(test, {:child, spawn(fn -> receive(do: (:end -> :ok)) end)})
        end)

      assert_receive {:child, child}
      until_dead(parent)
      node = until(fn -> find(tree(), parent) end)
      assert {node.alive, node.exit_reason} == {false, :normal}
      assert [%{pid: ^child, alive: true}] = node.children
      send(child, :end)
    end

    test "the innermost recorded call is the current one" do
      :ok = ElixirScope.instrument(Server)
      on_exit(fn -> ElixirScope.uninstrument(Server) end)
      other = spawn(fn -> receive(do: (:end -> :ok)) end)
      pid = Mortals.server()
      GenServer.cast(pid, {:call, other, :never})

      until(fn ->
        ElixirScope.count_events(pid: pid, function: :handle_cast, event_type: :function_entry) == 1
      end)

      assert find(tree(ElixirScope.now()), pid).current == {Server, :handle_cast, 2}
      Process.exit(pid, :kill)
      send(other, :end)
    end
  end

  test "bad times and limits are refused" do
    assert message_of(ElixirScope.process_tree(at: :then)) =~
             "expected integer nanoseconds, a DateTime, or :now"

    assert message_of(ElixirScope.process_tree(limit: 0)) =~ "expected a positive integer"
    assert %{complete: false, reason: :too_many_processes, processes: 3} = ElixirScope.process_tree(limit: 3)
    assert %{complete: false} = ElixirScope.process_tree(at: DateTime.add(DateTime.utc_now(), -60))
    ElixirScope.stop()
    assert ElixirScope.process_tree() == {:error, :not_running}
  end
end
