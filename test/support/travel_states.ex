defmodule ElixirScopeTest.Travel.States do
  @moduledoc "States of all shapes, and random operations on them. Plain code: the processes that hold them are elsewhere."

  import ElixirScope.Test.Generate, only: [integer: 1, one_of: 1, term: 1]

  defmodule Cart do
    @moduledoc "A state with a field of every shape."
    defstruct count: 0,
              user: %{name: "Ann", address: %{city: "Bonn", lines: ["a", "b"]}},
              growing: %{},
              queue: :queue.new(),
              set: MapSet.new(),
              tree: :gb_trees.empty(),
              options: [],
              bytes: "",
              fun: nil,
              ref: nil,
              improper: [1 | 2],
              list: [],
              tuple: {0, {1, %{a: 1}}},
              float: 0.0
  end

  @fields ~w(count user growing queue set tree options bytes fun ref improper list tuple float)a

  def new, do: %Cart{}

  @doc "One operation, which `run/2` carries out in whatever process holds the state."
  def operation(opts \\ []) do
    case integer(1..40) do
      1 -> {:whole, one_of([term(2), [], %{}, {:pair, 1}, new(), new(), new()])}
      2 -> {:many, for(_ <- 1..integer(2..4), do: change(opts))}
      3 -> :same
      4 -> :rebuilt
      _ -> change(opts)
    end
  end

  defp change(opts) do
    field = one_of(@fields -- Keyword.get(opts, :without, []))
    {:change, field, how(field, Keyword.get(opts, :largest, 3_000))}
  end

  defp how(:count, _largest), do: integer(-3..3)

  defp how(:user, _largest),
    do:
      one_of([{:name, term(0)}, {:city, term(1)}, {:phone, integer(1..9)}, :forget, {:lines, integer(0..3)}])

  # through 32 keys, where a map becomes a tree, and back
  defp how(:growing, _largest),
    do:
      one_of([
        {:put, one_of([integer(1..60), {integer(1..60), :k}, "key #{integer(1..60)}"]), term(1)},
        {:fill, integer(20..45)},
        {:drop, integer(1..60)},
        {:keep, integer(25..35)}
      ])

  defp how(:queue, _largest), do: one_of([{:in, term(0)}, {:in, term(1)}, :out])
  defp how(:set, _largest), do: one_of([{:add, integer(1..50)}, {:add, term(0)}, {:remove, integer(1..50)}])
  defp how(:tree, _largest), do: one_of([{:enter, integer(1..40), term(0)}, {:delete, integer(1..40)}])

  defp how(:options, _largest),
    do: one_of([{:put, one_of([:a, :b, :c]), term(1)}, {:delete, one_of([:a, :b, :c])}])

  defp how(:bytes, largest),
    do: one_of([{:new, integer(0..largest)}, {:append, integer(1..50)}, {:part, integer(0..9)}])

  defp how(:fun, _largest), do: one_of([{:closure, term(1)}, :capture, :none])
  defp how(:ref, _largest), do: one_of([:new, :none])
  defp how(:improper, _largest), do: one_of([{:tail, term(0)}, {:head, term(0)}, :proper])

  defp how(:list, _largest),
    do:
      one_of([
        {:prepend, term(1)},
        {:append, term(0)},
        {:replace, integer(0..20), term(0)},
        {:insert, integer(0..20), integer(1..5)},
        {:delete, integer(0..20)},
        :tail,
        {:fill, integer(0..30)}
      ])

  defp how(:tuple, _largest),
    do: one_of([{:deep, term(0)}, {:first, integer(0..9)}, {:grow, term(0)}, :reset])

  defp how(:float, _largest), do: one_of([0.0, -0.0, 1.5, :rand.normal()])

  # -- Carried out --------------------------------------------------------------------------------------------------------

  def run(:same, state), do: state
  # equal, and of other words
  def run(:rebuilt, state), do: :erlang.binary_to_term(:erlang.term_to_binary(state))
  def run({:whole, state}, _old), do: state
  def run({:many, changes}, state), do: Enum.reduce(changes, state, &run/2)

  def run({:change, field, how}, %Cart{} = cart), do: Map.update!(cart, field, &change(field, how, &1))
  def run({:change, _field, _how}, _other), do: new()

  defp change(:count, by, count), do: count + by
  defp change(:user, {:name, name}, user), do: Map.put(user, :name, name)
  defp change(:user, {:city, city}, user), do: put_in(user, [:address, :city], city)
  defp change(:user, {:phone, n}, user), do: Map.put(user, "phone", n)
  defp change(:user, :forget, user), do: Map.delete(user, "phone")

  defp change(:user, {:lines, n}, user),
    do: put_in(user, [:address, :lines], Enum.map(1..n//1, &"line #{&1}"))

  defp change(:growing, {:put, key, value}, map), do: Map.put(map, key, value)
  defp change(:growing, {:fill, n}, map), do: Map.merge(map, Map.new(1..n, &{&1, {:filled, &1}}))
  defp change(:growing, {:drop, key}, map), do: Map.drop(map, [key, {key, :k}, "key #{key}"])
  defp change(:growing, {:keep, n}, map), do: map |> Enum.take(n) |> Map.new()
  defp change(:queue, {:in, item}, queue), do: :queue.in(item, queue)
  defp change(:queue, :out, queue), do: elem(:queue.out(queue), 1)
  defp change(:set, {:add, item}, set), do: MapSet.put(set, item)
  defp change(:set, {:remove, item}, set), do: MapSet.delete(set, item)
  defp change(:tree, {:enter, key, value}, tree), do: :gb_trees.enter(key, value, tree)
  defp change(:tree, {:delete, key}, tree), do: :gb_trees.delete_any(key, tree)
  defp change(:options, {:put, key, value}, options), do: Keyword.put(options, key, value)
  defp change(:options, {:delete, key}, options), do: Keyword.delete(options, key)
  defp change(:bytes, {:new, n}, _bytes), do: :binary.copy(<<n::16>>, div(n, 2))
  defp change(:bytes, {:append, n}, bytes), do: bytes <> :binary.copy("x", n)
  defp change(:bytes, {:part, n}, bytes), do: binary_part(bytes, 0, min(n * 10, byte_size(bytes)))
  defp change(:fun, {:closure, term}, _fun), do: fn x -> {x, term} end
  defp change(:fun, :capture, _fun), do: &Enum.map/2
  defp change(:fun, :none, _fun), do: nil
  defp change(:ref, :new, _ref), do: make_ref()
  defp change(:ref, :none, _ref), do: nil
  defp change(:improper, {:tail, tail}, _list), do: [1, 2 | tail]
  defp change(:improper, {:head, head}, list), do: [head | list]
  defp change(:improper, :proper, _list), do: [1, 2, 3]
  defp change(:list, {:prepend, item}, list), do: [item | list]
  defp change(:list, {:append, item}, list), do: list ++ [item]
  defp change(:list, {:replace, at, item}, list), do: List.replace_at(list, at, item)
  defp change(:list, {:insert, at, n}, list), do: Enum.reduce(1..n, list, &List.insert_at(&2, at, &1))
  defp change(:list, {:delete, at}, list), do: List.delete_at(list, at)
  defp change(:list, :tail, list), do: Enum.drop(list, 1)
  defp change(:list, {:fill, n}, _list), do: Enum.to_list(1..n//1)
  defp change(:tuple, {:deep, term}, tuple), do: put_elem(tuple, 1, {1, %{a: term}})
  defp change(:tuple, {:first, n}, tuple), do: put_elem(tuple, 0, n)
  defp change(:tuple, {:grow, term}, tuple), do: :erlang.append_element(tuple, term)
  defp change(:tuple, :reset, _tuple), do: {0, {1, %{a: 1}}}
  defp change(:float, float, _old), do: float
end
