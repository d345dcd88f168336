defmodule ElixirScope.Instrument.Form do
  @moduledoc false

  # Small pieces of Erlang's abstract format, all marked as generated: no tool shall complain about them, and cover shall not
  # count them.

  @type anno :: :erl_anno.anno()
  @type t :: tuple

  @spec generated(anno) :: anno
  def generated(anno), do: :erl_anno.set_generated(true, anno)

  @spec var(anno, atom) :: t
  def var(anno, name), do: {:var, generated(anno), name}

  @spec atom(anno, atom) :: t
  def atom(anno, value), do: {:atom, generated(anno), value}

  @spec integer(anno, integer) :: t
  def integer(anno, value), do: {:integer, generated(anno), value}

  @spec tuple(anno, [t]) :: t
  def tuple(anno, elements), do: {:tuple, generated(anno), elements}

  @spec match(anno, t, t) :: t
  def match(anno, left, right), do: {:match, generated(anno), left, right}

  @spec clause(anno, [t], [[t]], [t]) :: t
  def clause(anno, patterns, guards, body), do: {:clause, generated(anno), patterns, guards, body}

  @doc "Any term as it is, for which the format has no form: `Literals` takes it through the compiler."
  @spec literal(anno, term) :: t
  def literal(anno, term), do: {:"$elixir_scope_literal", generated(anno), term}

  @doc "A list of one element: what a value is wrapped in that comes out of a protected body beside tail calls."
  @spec cell(anno, t) :: t
  def cell(anno, element), do: {:cons, generated(anno), element, {nil, generated(anno)}}

  @doc "A call of another module."
  @spec call(anno, module, atom, [t]) :: t
  def call(anno, module, function, args) do
    {:call, generated(anno), {:remote, generated(anno), atom(anno, module), atom(anno, function)}, args}
  end

  @doc "A call into the library."
  @spec native(anno, atom, [t]) :: t
  def native(anno, function, args), do: call(anno, ElixirScope.Native, function, args)

  @doc "The line of an expression; 0 where it has none."
  @spec line(t) :: non_neg_integer
  def line(form), do: :erl_anno.line(elem(form, 1))

  @doc "The names of all variables in a form, patterns and expressions alike."
  @spec variables(term) :: MapSet.t(atom)
  def variables(form), do: variables(form, MapSet.new())

  defp variables({:var, _anno, :_}, seen), do: seen
  defp variables({:var, _anno, name}, seen) when is_atom(name), do: MapSet.put(seen, name)
  defp variables(form, seen) when is_tuple(form), do: variables(Tuple.to_list(form), seen)
  defp variables([head | tail], seen), do: variables(tail, variables(head, seen))
  defp variables(_other, seen), do: seen

  @doc "The names that the expressions of a body bind for those behind them, as far as that is plain to see."
  @spec bound([t]) :: MapSet.t(atom)
  def bound(body), do: Enum.reduce(body, MapSet.new(), &MapSet.union(bound_by(&1), &2))

  defp bound_by({:match, _anno, pattern, value}), do: MapSet.union(variables(pattern), bound_by(value))
  defp bound_by({:block, _anno, body}), do: bound(body)
  defp bound_by(_other), do: MapSet.new()

  @doc "A form with those of its variables renamed that are in `names`."
  @spec rename(term, MapSet.t(atom), (atom -> atom)) :: term
  def rename({:var, anno, name} = variable, names, new),
    do: if(MapSet.member?(names, name), do: {:var, anno, new.(name)}, else: variable)

  def rename(form, names, new) when is_tuple(form),
    do: form |> Tuple.to_list() |> rename(names, new) |> List.to_tuple()

  def rename([head | tail], names, new), do: [rename(head, names, new) | rename(tail, names, new)]
  def rename(other, _names, _new), do: other

  @doc """
  The name that a variable has in its source: Elixir's compiler writes `_name@2` for the second binding of `name`. With it
  comes which binding it is. `:none` for what the compiler made up, and for names that begin with `_`.
  """
  @spec source_name(atom) :: {atom, non_neg_integer} | :none
  def source_name(name) do
    case Regex.run(~r/^_(.+)@(\d+)$/, Atom.to_string(name)) do
      [_all, "_" <> _unused, _binding] -> :none
      [_all, source, binding] -> {String.to_atom(source), String.to_integer(binding)}
      nil -> erlang_name(Atom.to_string(name))
    end
  end

  @doc "The name of a variable without the mark of one that is not used: `_name` in Elixir, `_Name` in Erlang."
  @spec used(atom) :: atom
  def used(name) do
    case Atom.to_string(name) do
      "__" <> rest ->
        if String.contains?(rest, "@"), do: String.to_atom("_" <> rest), else: name

      <<?_, first, _rest::binary>> = unused when first in ?A..?Z ->
        unused |> binary_part(1, byte_size(unused) - 1) |> String.to_atom()

      _used ->
        name
    end
  end

  defp erlang_name("_" <> _unused), do: :none
  # rec0, cor0 and others are made by the compiler's passes
  defp erlang_name(<<first, _rest::binary>> = name) when first in ?A..?Z, do: {String.to_atom(name), 0}
  defp erlang_name(_other), do: :none
end
