defmodule ElixirScopeTest.Traced do
  @moduledoc "Plain code for traces to look at."

  def one(x), do: x
  def two(x, y), do: {one(x), y}
  def outer(fun), do: {:done, fun.()}
  def raises(x), do: raise(ArgumentError, "#{x}")
  def pair(map, list), do: {map, list}
  def by_hand(n), do: inner(n) + 1

  defp inner(n), do: n * 2
end
