defmodule ElixirScopeTest.Travel.Truth do
  @moduledoc """
  What a process really held, and when; and the naive computations that the tape's answers are held against.

  A truth is a list of `{from, to, state}`, oldest first: at every instant from `from` to `to`, both inclusive, the state was that. In
  between an operation was under way.
  """

  @doc "Carries out operations one by one; `hold` answers the state that the process holds, and is called when nothing is under way."
  def keep(operations, run, hold) do
    first = ElixirScope.now()

    {truth, from, state} =
      Enum.reduce(operations, {[], first, hold.()}, fn operation, {truth, from, state} ->
        to = ElixirScope.now()
        run.(operation)
        new = hold.()
        {[{from, to, state} | truth], ElixirScope.now(), new}
      end)

    Enum.reverse([{from, ElixirScope.now(), state} | truth])
  end

  @doc "The instants at which a truth is asked for: at both ends, and in between."
  def instants(truth) do
    for {from, to, state} <- truth, time <- Enum.uniq([from, div(from + to, 2), to]), do: {time, state}
  end

  @doc "The state of a truth at a time that falls into one of its spans."
  def at(truth, time),
    do: Enum.find_value(truth, :none, fn {from, to, state} -> if time in from..to, do: {:ok, state} end)

  # -- Paths ------------------------------------------------------------------------------------------------------------

  @missing :"$missing"

  @doc "The value at a path of map keys and of indexes of tuples and lists."
  def fetch(value, []), do: value

  def fetch(value, [key | rest]) when is_map(value),
    do: if(is_map_key(value, key), do: fetch(:erlang.map_get(key, value), rest), else: @missing)

  def fetch(value, [index | rest])
      when is_tuple(value) and is_integer(index) and index in 0..(tuple_size(value) - 1)//1,
      do: fetch(elem(value, index), rest)

  def fetch(value, [index | rest]) when is_list(value) and is_integer(index) and index >= 0,
    do: fetch_index(value, index, rest)

  def fetch(_value, _path), do: @missing

  defp fetch_index([head | _tail], 0, rest), do: fetch(head, rest)
  defp fetch_index([_head | tail], index, rest), do: fetch_index(tail, index - 1, rest)
  defp fetch_index(_end, _index, _rest), do: @missing

  @doc "Whether two values are the same: `===` takes 0.0 for -0.0 before OTP 27."
  def same?(one, other), do: one === other and bits(one) == bits(other)

  defp bits(value), do: :erlang.term_to_binary(value, [:deterministic])

  @doc "Whether there is one."
  def there?(value, path), do: fetch(value, path) != @missing

  @doc "Paths of the maps of a value, some of them."
  def paths(value, depth \\ 3)

  def paths(map, depth) when is_map(map) and depth > 0,
    do: for({key, value} <- :maps.to_list(map), path <- [[] | paths(value, depth - 1)], do: [key | path])

  def paths(_value, _depth), do: []

  @doc "What differs, leaves only; of lists by index, after the common front and end were taken off."
  def diff(old, new), do: old |> differ(new, []) |> Enum.sort()

  defp differ(old, new, path), do: if(same?(old, new), do: [], else: differing(old, new, path))

  defp differing(old, new, path) when is_map(old) and is_map(new) do
    keys = Enum.uniq(Map.keys(old) ++ Map.keys(new))
    Enum.flat_map(keys, fn key -> entry(Map.fetch(old, key), Map.fetch(new, key), [key | path]) end)
  end

  defp differing(old, new, path)
       when is_tuple(old) and is_tuple(new) and tuple_size(old) == tuple_size(new) do
    [Tuple.to_list(old), Tuple.to_list(new), Enum.to_list(0..(tuple_size(old) - 1)//1)]
    |> Enum.zip()
    |> Enum.flat_map(fn {one, other, index} -> differ(one, other, [index | path]) end)
  end

  defp differing([_ | _] = old, [_ | _] = new, path) do
    case {split(old), split(new)} do
      {{old, tail}, {new, other}} when tail === other -> elements(old, new, path)
      _other_tails -> [changed(path, old, new)]
    end
  end

  defp differing(old, new, path), do: [changed(path, old, new)]

  defp entry({:ok, old}, {:ok, new}, path), do: differ(old, new, path)
  defp entry({:ok, old}, :error, path), do: [%{path: Enum.reverse(path), op: :removed, old: old}]
  defp entry(:error, {:ok, new}, path), do: [%{path: Enum.reverse(path), op: :added, new: new}]

  defp elements(old, new, path) do
    front = common(old, new)
    {old, new} = {Enum.drop(old, front), Enum.drop(new, front)}
    last = common(Enum.reverse(old), Enum.reverse(new))
    {old, new} = {Enum.drop(old, -last), Enum.drop(new, -last)}

    for index <- 0..(max(length(old), length(new)) - 1)//1,
        change <- entry(Enum.fetch(old, index), Enum.fetch(new, index), [front + index | path]),
        do: change
  end

  defp common([a | one], [b | other]), do: if(same?(a, b), do: 1 + common(one, other), else: 0)
  defp common(_one, _other), do: 0

  defp split([head | tail]) do
    {heads, tail} = split(tail)
    {[head | heads], tail}
  end

  defp split(tail), do: {[], tail}

  defp changed(path, old, new), do: %{path: Enum.reverse(path), op: :changed, old: old, new: new}
end
