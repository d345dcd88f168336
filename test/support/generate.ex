defmodule ElixirScope.Test.Generate do
  @moduledoc "Random values, from the seed of the test run: `mix test --seed` repeats them."

  def seed, do: :rand.seed(:exsss, {ExUnit.configuration()[:seed], 1, 2})

  def one_of(values), do: Enum.random(values)

  @doc "Each of the values with a chance of one in two."
  def some_of(values), do: Enum.filter(values, fn _value -> :rand.uniform(2) == 1 end)

  def integer(range), do: Enum.random(range)

  @doc "A small term of any common kind."
  def term(depth \\ 3) do
    simple = [
      fn -> integer(-3..3) end,
      fn -> integer(-1_000_000_000_000_000_000_000..1_000_000_000_000_000_000_000) end,
      fn -> :rand.normal() end,
      fn -> one_of([:a, :b, :ok, nil, true, false]) end,
      fn -> one_of(["", "ann", "bob", "Füße", <<0, 255>>]) end,
      fn -> <<5::3>> end,
      fn -> self() end,
      fn -> make_ref() end,
      fn -> [] end,
      fn -> &Enum.map/2 end
    ]

    nested = [
      fn -> for(_ <- 1..integer(1..3), do: term(depth - 1)) end,
      fn -> [term(depth - 1) | term(0)] end,
      fn -> List.to_tuple(for(_ <- 1..integer(1..3), do: term(depth - 1))) end,
      fn -> Map.new(1..integer(1..3), fn _ -> {term(0), term(depth - 1)} end) end,
      fn -> [user_id: integer(1..9), tags: some_of(["a", "b", "c"])] end,
      fn -> for(n <- 1..40, into: %{}, do: {n, term(0)}) end
    ]

    one_of(if depth > 0, do: simple ++ nested, else: simple).()
  end
end
