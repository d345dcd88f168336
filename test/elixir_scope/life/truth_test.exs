defmodule ElixirScope.Life.TruthTest do
  # Random supervision trees that grow, shrink and crash; what they really were at several instants is what the tape says of these.
  use ElixirScope.Test.RecorderCase

  alias ElixirScopeTest.{Mortals, Procs}

  @moduletag :capture_log
  @moduletag recorder: [storage: [memory_limit: 64 * 1_048_576]]

  @rounds 60

  for seed <- 1..4 do
    test "a tree that lives through #{@rounds} changes is told as it was (seed #{seed})" do
      :rand.seed(:exsss, {unquote(seed), 2, 3})
      Procs.trace()
      {:ok, top} = DynamicSupervisor.start_link(strategy: :one_for_one, max_restarts: 1_000)
      Process.unlink(top)
      on_exit(fn -> Process.exit(top, :kill) end)

      instants =
        for round <- 1..@rounds do
          change(top, round)
          settle(top)
          {ElixirScope.now(), truth(top)}
        end

      for {at, truth} <- instants do
        tree = ElixirScope.process_tree(at: at)
        assert {tree.complete, tree.reason} == {true, nil}
        assert told(find(tree.children, top)) == truth
      end

      {_at, last} = List.last(instants)
      assert told(find(ElixirScope.process_tree().children, top)) == last
    end
  end

  # -- Changes ----------------------------------------------------------------------------------------------------------

  defp change(top, round) do
    all = [top | supervisors(top)]
    workers = Enum.flat_map(all, &workers/1)

    case :rand.uniform(8) do
      n when n <= 2 or workers == [] -> start_branch(top, round)
      3 -> {:ok, _pid} = DynamicSupervisor.start_child(top, Mortals.child(state: round))
      n when n <= 5 -> gone(Enum.random(workers), &Process.exit(&1, :kill))
      6 -> gone(Enum.random(workers), &GenServer.cast(&1, {:exit, :over}))
      7 -> gone(Enum.random(workers), &GenServer.cast(&1, {:stop, :shutdown}))
      8 -> stop_branch(top)
    end
  end

  defp start_branch(top, round) do
    strategy = Enum.random([:one_for_one, :one_for_all, :rest_for_one])
    names = for n <- 1..:rand.uniform(3), do: :"truth_#{round}_#{n}"
    children = for name <- names, do: Mortals.child(name: name)

    {:ok, _pid} =
      DynamicSupervisor.start_child(top, %{
        id: :branch,
        type: :supervisor,
        start: {Supervisor, :start_link, [children, [strategy: strategy, max_restarts: 1_000]]}
      })
  end

  defp stop_branch(top) do
    case supervisors(top) do
      [] -> :ok
      branches -> :ok = DynamicSupervisor.terminate_child(top, Enum.random(branches))
    end
  end

  defp gone(pid, how) do
    how.(pid)
    until_dead(pid)
  end

  # Until every supervisor has taken up the end of its children. One that ends is told of to its supervisor before or after the test is.
  defp settle(top) do
    until(fn ->
      Enum.all?([top | supervisors(top)], fn pid ->
        children = for {_id, child, _type, _modules} <- children(pid), do: child
        Enum.all?(children, &(is_pid(&1) and Process.alive?(&1)))
      end)
    end)
  end

  # -- What really is ---------------------------------------------------------------------------------------------------

  defp children(pid) do
    Supervisor.which_children(pid)
  catch
    :exit, _gone -> []
  end

  defp supervisors(pid),
    do: for({_id, child, :supervisor, _modules} when is_pid(child) <- children(pid), do: child)

  defp workers(pid), do: for({_id, child, :worker, _modules} when is_pid(child) <- children(pid), do: child)

  defp truth(pid) do
    {:links, links} = Process.info(pid, :links)
    {:registered_name, name} = Process.info(pid, :registered_name)
    {pid, if(name == [], do: nil, else: name), Enum.sort(links), Enum.sort(Enum.map(below(pid), &truth/1))}
  end

  defp below(pid) do
    if ElixirScope.Life.Look.supervisor?(pid) do
      for {_id, child, _type, _modules} <- children(pid), do: child
    else
      []
    end
  end

  # -- What is told -----------------------------------------------------------------------------------------------------

  defp told(node) do
    assert node.alive
    {node.pid, node.name, node.links, Enum.sort(Enum.map(node.children, &told/1))}
  end

  defp find(nodes, pid), do: Enum.find_value(nodes, &if(&1.pid == pid, do: &1, else: find(&1.children, pid)))
end
