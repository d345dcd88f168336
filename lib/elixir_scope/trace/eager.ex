defmodule ElixirScope.Trace.Eager do
  @moduledoc false

  # Which arguments a mark may evaluate before it is known that the recorder runs, so that the mark is one native call and
  # not two: those of which nobody can tell that they were evaluated, and which cost little if that was in vain.

  # In hundredths of an empty native call, as measured on OTP 25; a mark while the recorder is off may cost half a call more
  # than an empty one.
  @most 30
  @tuple 13
  @element 2
  @cell 5
  # How many values `Native.event_map` takes.
  @fields 6
  # What can be seen, or fail, is dearer than all that is allowed.
  @never 1_000

  @spec cheap?([Macro.t()], Macro.Env.t()) :: boolean
  def cheap?(arguments, env) do
    {_, cost} = built(arguments, 0, env)
    cost <= @most
  end

  # A map costs more than all of that to make. One that is written out with names for keys need not be made: its values are
  # passed as they are, with a literal map that tells for each key where its value stands. `nil` for any other.
  @spec fields(Macro.t(), Macro.Env.t()) :: {map, [Macro.t()]} | nil
  def fields({:%{}, _, pairs}, env) when length(pairs) in 1..@fields do
    with true <- Enum.all?(pairs, &match?({key, _value} when is_atom(key), &1)),
         {keys, values} = Enum.unzip(pairs),
         ^keys <- Enum.uniq(keys),
         true <- cheap?(values, env) do
      {keys |> Enum.with_index() |> Map.new(), values}
    else
      _ -> nil
    end
  end

  def fields(_other, _env), do: nil

  # A constant costs nothing, whatever its size: the compiler makes it a literal.
  defp weigh(constant, _env) when is_atom(constant) or is_number(constant) or is_binary(constant),
    do: {:constant, 0}

  defp weigh([], _env), do: {:constant, 0}

  # One that is not constant is never cheap.
  defp weigh({:%{}, _, pairs}, env), do: built(pairs, @never, env)

  defp weigh({:__aliases__, _, parts}, _env) do
    if Enum.all?(parts, &is_atom/1), do: {:constant, 0}, else: {:made, @never}
  end

  defp weigh({:__MODULE__, _, context}, _env) when is_atom(context), do: {:constant, 0}

  # A name that is no variable is a call.
  defp weigh({name, meta, context}, env) when is_atom(name) and is_atom(context) do
    if Macro.Env.has_var?(env, {name, meta[:counter] || context}), do: {:made, 0}, else: {:made, @never}
  end

  defp weigh({:{}, _, elements}, env), do: tuple(elements, env)
  defp weigh({left, right}, env), do: tuple([left, right], env)
  defp weigh([{:|, _, [head, tail]}], env), do: built([head, tail], @cell, env)

  defp weigh([head | tail], env), do: built([head, tail], @cell, env)

  defp weigh(_other, _env), do: {:made, @never}

  defp tuple(elements, env), do: built(elements, @tuple + @element * length(elements), env)

  # What is made of constants is one.
  defp built(parts, cost, env) do
    case parts |> Enum.map(&weigh(&1, env)) |> Enum.reject(&match?({:constant, 0}, &1)) do
      [] -> {:constant, 0}
      made -> {:made, cost + (made |> Enum.map(&elem(&1, 1)) |> Enum.sum())}
    end
  end
end
