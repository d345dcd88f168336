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
    siblings = Enum.group_by(born, fn {_pid, birth} -> {birth.parent, birth.initial_call, birth.args} end)

    pairs =
      for {{parent, _call, _args}, [_, _ | _] = pids} <- siblings,
          supervisor?.(parent),
          pair <- pairs(Enum.sort_by(pids, fn {_pid, birth} -> birth.at end), past.ends),
          do: pair

    %{successors: Map.new(pairs), predecessors: Map.new(pairs, fn {old, new} -> {new, old} end)}
  end

  # The newest end that nobody followed yet goes with the next birth.
  defp pairs(siblings, ends) do
    {pairs, _ended} =
      Enum.reduce(siblings, {[], siblings}, fn {pid, %{at: born}}, {pairs, open} ->
        ended =
          for {other, _birth} <- open,
              %{at: at} <- [Map.get(ends, other)],
              other != pid and at <= born and born - at <= @within_ns,
              do: {at, other}

        case Enum.max(ended, fn -> nil end) do
          nil -> {pairs, open}
          {_at, other} -> {[{other, pid} | pairs], List.keydelete(open, other, 0)}
        end
      end)

    pairs
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
