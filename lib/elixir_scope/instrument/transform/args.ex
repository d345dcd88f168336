defmodule ElixirScope.Instrument.Transform.Args do
  @moduledoc false

  # The arguments of a function: a variable for each, and what the source calls it.

  alias ElixirScope.Config
  alias ElixirScope.Instrument.Form

  @secrets Config.default_redact()

  @doc """
  Patterns of which each binds a variable, and the variables with the names of the arguments in the source: those of this clause,
  or those that `names/1` found.
  """
  @spec bind([tuple], [{:first | :secret, atom | nil}]) :: {[tuple], [{atom, atom | nil}]}
  def bind(patterns, names) do
    patterns
    |> Enum.with_index(fn
      {:var, _, name} = pattern, _index when name != :_ ->
        {pattern, name}

      pattern, index ->
        anno = elem(pattern, 1)
        name = :"scope@arg#{index}"
        {Form.match(anno, Form.var(anno, name), pattern), name}
    end)
    |> Enum.unzip()
    |> then(fn {named, variables} ->
      {named, Enum.zip_with([patterns, variables, names], &arg_name/1)}
    end)
  end

  defp arg_name([_pattern, variable, {:secret, name}]), do: {variable, name}
  defp arg_name([pattern, variable, {_first, name}]), do: {variable, source_name(pattern) || name}

  @doc """
  What each argument is called, which decides whether it is masked: a clause that calls it something else, or nothing, may
  well be given the secret that another clause names.
  """
  @spec names([tuple]) :: [{:first | :secret, atom | nil}]
  def names(clauses) do
    for patterns <- Enum.zip_with(for({:clause, _, patterns, _, _} <- clauses, do: patterns), & &1) do
      names = for pattern <- patterns, name = source_name(pattern), do: name

      case Enum.find(names, &(&1 in @secrets)) do
        nil -> {:first, List.first(names)}
        name -> {:secret, name}
      end
    end
  end

  # The name of an argument in the source, by which it may have to be masked; one that the function does not use is no less
  # secret.
  defp source_name({:var, _, name}) do
    case Form.source_name(Form.used(name)) do
      {source, _binding} -> plain(source)
      :none -> nil
    end
  end

  defp source_name({:match, _, left, right}), do: source_name(left) || source_name(right)

  defp source_name({:bin, _, elements}) do
    names = for {:bin_element, _, part, _, _} <- elements, name = source_name(part), do: name
    Enum.find(names, &(&1 in @secrets))
  end

  defp source_name(_pattern), do: nil

  # Erlang writes `Password` where Elixir writes `password`.
  defp plain(source) do
    case Atom.to_string(source) do
      <<first, _rest::binary>> = name when first in ?A..?Z -> name |> Macro.underscore() |> String.to_atom()
      _elixir -> source
    end
  end
end
