defmodule ElixirScope.Life.Lineage do
  @moduledoc false

  # Which process came in the place of which: as supervisors told the logger, and by the tape, where a supervisor spawned the same again
  # right after the end of its child.

  alias ElixirScope.Life.{Past, Restarts}

  # A supervisor restarts at once; whatever it spawns later is something else.
  @within_ns 5_000_000_000

  @type t :: %{successors: %{pid => pid}, predecessors: %{pid => pid}}

  @spec of(Past.t(), (pid -> boolean)) :: t
  def of(past, supervisor?) do
    born = for {pid, %{parent: parent} = birth} <- past.births, parent, do: {pid, birth}
    alike = Enum.group_by(born, fn {_pid, birth} -> Map.drop(birth, [:at]) end)

    pairs =
      for {%{parent: parent}, [_, _ | _] = pids} <- alike,
          supervisor?.(parent),
          pair <- pairs(Enum.sort_by(pids, fn {_pid, birth} -> birth.at end), past.ends),
          do: pair

    %{successors: Map.new(pairs), predecessors: Map.new(pairs, fn {old, new} -> {new, old} end)}
  end

  # Those that ended and that nobody followed yet are followed in the order in which they were born, which is the one in which a
  # supervisor starts them. What is told goes before.
  defp pairs(alike, ends) do
    told = for {pid, _birth} <- alike, {before, _count} <- [Restarts.predecessor(pid)], do: {before, pid}
    followed = Map.new(told)
    followers = Map.new(told, fn {old, new} -> {new, old} end)

    turns =
      for {pid, %{at: born}} <- alike,
          turn <- [
            if(not is_map_key(followers, pid), do: {born, :born, pid}),
            if(not is_map_key(followed, pid), do: ended(pid, born, ends))
          ],
          turn != nil,
          do: turn

    {pairs, _open} = turns |> Enum.sort_by(&elem(&1, 0)) |> Enum.reduce({told, :gb_sets.new()}, &turn/2)
    pairs
  end

  # What ended normally is done, most often.
  defp ended(pid, born, ends) do
    case ends do
      %{^pid => %{at: at, reason: reason}} when reason != :normal -> {at, :ended, {born, at, pid}}
      _other -> nil
    end
  end

  defp turn({_at, :ended, ended}, {pairs, open}), do: {pairs, :gb_sets.add(ended, open)}

  defp turn({at, :born, pid} = turn, {pairs, open}) do
    if :gb_sets.is_empty(open) do
      {pairs, open}
    else
      case :gb_sets.take_smallest(open) do
        {{_born, ended, other}, open} when at - ended <= @within_ns -> {[{other, pid} | pairs], open}
        {_too_old, open} -> turn(turn, {pairs, open})
      end
    end
  end

  @doc "The process that came in the place of one."
  @spec successor(t, pid) :: pid | nil
  def successor(lineage, pid), do: Map.get(lineage.successors, pid) || Restarts.successor(pid)

  @doc "How often a process was restarted before."
  @spec restarts(t, pid) :: non_neg_integer
  def restarts(lineage, pid), do: restarts(lineage, pid, 0)

  defp restarts(lineage, pid, count) do
    case {Restarts.predecessor(pid), Map.get(lineage.predecessors, pid)} do
      {{_before, told}, _on_tape} -> count + told
      {nil, nil} -> count
      {nil, before} -> restarts(lineage, before, count + 1)
    end
  end
end
