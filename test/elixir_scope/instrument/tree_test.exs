defmodule ElixirScope.Instrument.TreeTest do
  use ElixirScope.Test.RecorderCase

  import ElixirScope.Test.Instrumented

  alias ElixirScope.Events.{FunctionEntry, FunctionExit}
  alias ElixirScope.Test.{CallTrees, Generate}

  @moduletag capture_log: true

  setup do
    Generate.seed()
    {module, beam} = beam(CallTrees.source())
    load(module, instrument(beam, functions: [:one, :two, :three], messages: false))
    on_exit(fn -> unload(module) end)
    {:ok, module: module}
  end

  test "entries, exits, parents and results are those of the program", %{module: module} do
    runs = for _ <- 1..150, do: run(module, CallTrees.plan(Generate.integer(1..60)))
    by_pid = Enum.group_by(all_events(module: module), & &1.pid)

    for {pid, plan} <- runs do
      events = by_pid[pid]
      {entries, exits, _numbers} = recorded = calls(events)
      expected = CallTrees.expected(plan)

      assert length(events) == map_size(entries) + map_size(exits)
      assert Enum.sort(Map.keys(entries)) == Enum.sort(Map.keys(expected)), told(plan)

      for {id, call} <- expected do
        assert_told(id, call, recorded, plan)
        assert Map.has_key?(exits, id) == (call.ends != nil), told(plan)
      end
    end
  end

  @tag recorder: [capture: [buffer_bytes: 65_536, total_bytes: 65_536]]
  test "where events are lost, what is told of the others is right", %{module: module} do
    runs = for _ <- 1..60, do: run(module, CallTrees.plan(Generate.integer(200..600)))
    events = all_events()
    assert Enum.any?(events, &(&1.event_type == :data_loss))
    by_pid = events |> Enum.filter(& &1.pid) |> Enum.group_by(& &1.pid)

    for {pid, plan} <- runs do
      {entries, _exits, _numbers} = recorded = calls(Map.get(by_pid, pid, []))
      expected = CallTrees.expected(plan)
      for {id, _entry} <- entries, do: assert_told(id, Map.fetch!(expected, id), recorded, plan)
    end
  end

  # A process that sleeps is killed in the middle of its calls.
  defp run(module, {_, function, _, _} = plan) do
    {pid, monitor} = spawn_monitor(fn -> apply(module, function, [plan]) end)

    asleep? = Enum.any?(CallTrees.expected(plan), fn {_id, call} -> call.ends == nil end)

    if asleep? do
      until(fn ->
        case Process.info(pid, [:current_function]) do
          [current_function: {Process, :sleep, 1}] -> true
          [current_function: {CallTrees, :sleep, 1}] -> true
          _running -> false
        end
      end)

      Process.exit(pid, :kill)
    end

    assert_receive {:DOWN, ^monitor, :process, ^pid, _reason}, 10_000
    {pid, plan}
  end

  # By the number of their call, which is in the argument. An exit whose entry is lost has none.
  defp calls(events) do
    entries = for %FunctionEntry{args: [call]} = entry <- events, into: %{}, do: {id(call), entry}

    ids = for {id, entry} <- entries, into: %{}, do: {entry.call_id, id}

    exits =
      for %FunctionExit{call_id: call} = exit when is_map_key(ids, call) <- events,
          into: %{},
          do: {ids[call], exit}

    {entries, exits, ids}
  end

  # Deep plans are cut, but not their first element.
  defp id(call), do: elem(call, 0)

  defp assert_told(id, call, {entries, exits, numbers}, plan) do
    entry = entries[id]
    assert {entry.function, entry.arity} == {call.function, 1}

    parent = numbers[entry.parent_id]
    # the one that called it may be lost, but no other is named in its place
    assert parent in [call.parent, nil],
           "#{id} is told to be in #{parent}, not #{call.parent}: " <> told(plan)

    if parent == nil and Map.has_key?(entries, call.parent), do: assert(entry.parent_id == nil)

    with %FunctionExit{} = exit <- exits[id] do
      assert exit.function == call.function
      assert exit.duration_ns >= 0 or call.ends == :tail
      assert {id, ended(exit)} == {id, call.ends}
      # what a tail call gave in the end, where that is known
      if call.ends == :tail,
        do:
          assert(
            exit.result in [nil, call.outcome],
            "#{id} gave #{inspect(exit)}, not #{inspect(call)}: " <> told(plan)
          )
    end
  end

  defp ended(%{exit_reason: :normal, result: result}), do: result
  defp ended(%{exit_reason: :tail_call}), do: :tail
  defp ended(%{exit_reason: {class, {:planned, id}, _stack}}), do: {class, id}

  defp told(plan), do: "seed #{ExUnit.configuration()[:seed]}: #{inspect(plan, limit: :infinity)}"
end
