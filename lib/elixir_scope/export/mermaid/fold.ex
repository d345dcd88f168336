defmodule ElixirScope.Export.Mermaid.Fold do
  @moduledoc false

  # Lines that repeat, alone or as a group of a few, as one with a count.

  @type line :: tuple
  @type folded :: {:times, pos_integer, line | [folded]}

  # A call and its answer are two lines, a call that leads to another one four.
  @longest 8

  @doc "Folds repeats: at each place those that take up the most lines."
  @spec fold([line]) :: [folded]
  def fold(lines), do: lines |> runs() |> groups([])

  # Equal lines one after another.
  defp runs(lines) do
    lines
    |> Enum.chunk_by(& &1)
    |> Enum.map(fn [line | _] = run -> {:times, length(run), line} end)
  end

  defp groups([], done), do: Enum.reverse(done)

  defp groups([line | rest] = lines, done) do
    {length, times} =
      2..@longest
      |> Enum.map(&{&1, times(lines, &1)})
      |> Enum.max_by(fn {length, times} -> if times > 1, do: {length * times, -length}, else: {0, -length} end)

    if times > 1 do
      {group, _} = Enum.split(lines, length)
      groups(Enum.drop(lines, length * times), [{:times, times, group} | done])
    else
      groups(rest, [line | done])
    end
  end

  # How often the first `length` lines stand there one after another.
  defp times(lines, length) do
    {group, rest} = Enum.split(lines, length)
    if length(group) == length, do: times(group, length, rest, 1), else: 1
  end

  defp times(group, length, lines, n) do
    case Enum.split(lines, length) do
      {^group, rest} -> times(group, length, rest, n + 1)
      _other -> n
    end
  end

  @doc "The first so many lines, and how many messages the others stand for."
  @spec take([folded], pos_integer) :: {[folded], non_neg_integer}
  def take(folded, limit), do: take(folded, limit, [])

  defp take([], _room, taken), do: {Enum.reverse(taken), 0}

  defp take([next | rest] = folded, room, taken) do
    case room - lines(next) do
      left when left >= 0 -> take(rest, left, [next | taken])
      # The first is shown in any case: a diagram has a line at least.
      _left when taken == [] -> {[next], messages(rest)}
      _left -> {Enum.reverse(taken), messages(folded)}
    end
  end

  defp lines({:times, _n, group}) when is_list(group), do: group |> Enum.map(&lines/1) |> Enum.sum()
  defp lines({:times, _n, _line}), do: 1

  defp messages(folded) when is_list(folded), do: folded |> Enum.map(&messages/1) |> Enum.sum()
  defp messages({:times, n, group}) when is_list(group), do: n * messages(group)
  defp messages({:times, n, _line}), do: n
end
