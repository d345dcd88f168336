defmodule ElixirScope.Instrument.Literals do
  @moduledoc false

  # Sites in the code, past the compiler's first passes. A site is a tuple with a text in it, and each clause has several of
  # them: written out in abstract format they are most of what lint, expansion and the first passes over Core Erlang look at (an
  # eighth of the time of a module). So a number stands for each until Core Erlang has been made, where a literal may be any
  # term.

  @mark :"$elixir_scope_literal"

  @type numbered :: %{pos_integer => term}

  @doc "The forms with a number for each literal, and what the numbers stand for."
  @spec take([tuple]) :: {[tuple], numbered}
  def take(forms) do
    {forms, {numbers, _next}} = take(forms, {%{}, 1})
    {forms, Map.new(numbers, fn {term, number} -> {number, term} end)}
  end

  defp take({@mark, anno, term}, {numbers, next}) do
    case numbers do
      %{^term => number} -> {mark(anno, number), {numbers, next}}
      _new -> {mark(anno, next), {Map.put(numbers, term, next), next + 1}}
    end
  end

  # annotations
  defp take([{:generated, true} | _rest] = anno, acc), do: {anno, acc}
  defp take({line, column} = anno, acc) when is_integer(line) and is_integer(column), do: {anno, acc}

  defp take(form, acc) when is_tuple(form) do
    {parts, acc} = take(Tuple.to_list(form), acc)
    {List.to_tuple(parts), acc}
  end

  defp take([head | tail], acc) do
    {head, acc} = take(head, acc)
    {tail, acc} = take(tail, acc)
    {[head | tail], acc}
  end

  defp take(other, acc), do: {other, acc}

  # A tuple of constants is a literal of Core Erlang from the start.
  defp mark(anno, number), do: {:tuple, anno, [{:atom, anno, @mark}, {:integer, anno, number}]}

  @doc "Options that have the compiler put the literals back, by `core_transform/2`."
  @spec options(numbered) :: [term]
  def options(literals) when literals == %{}, do: []
  def options(literals), do: [{:core_transform, __MODULE__}, {@mark, literals}]

  @doc false
  @spec core_transform(tuple, [term]) :: tuple
  def core_transform(core, options) do
    {@mark, literals} = List.keyfind(options, @mark, 0)
    put(core, literals)
  end

  defp put({:c_literal, anno, {@mark, number}}, literals),
    do: {:c_literal, anno, Map.fetch!(literals, number)}

  defp put({:c_literal, _anno, _value} = literal, _literals), do: literal
  defp put({:c_var, _anno, _name} = variable, _literals), do: variable

  # a record of Core Erlang: annotations, with the file's name in them, come first
  defp put(core, literals) when tuple_size(core) > 2 do
    [tag, anno | parts] = Tuple.to_list(core)
    List.to_tuple([tag, anno | put(parts, literals)])
  end

  defp put({left, right}, literals), do: {put(left, literals), put(right, literals)}

  defp put([head | tail], literals), do: [put(head, literals) | put(tail, literals)]
  defp put(other, _literals), do: other
end
