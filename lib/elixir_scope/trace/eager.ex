defmodule ElixirScope.Trace.Eager do
  @moduledoc false

  # Which arguments a mark may evaluate before it is known that the recorder runs, so that the mark is one native call and
  # not two: those of which nobody can tell that they were evaluated, and which cost little if that was in vain.

  # In hundredths of an empty native call, as measured on OTP 25; a mark while the recorder is off may cost half a call more
  # than an empty one.
  @most 50
  @map 34
  @pair 4
  @tuple 13
  @element 2
  @cell 5
  # What can be seen, or fail, is dearer than all that is allowed.
  @never 1_000

  @spec cheap?([Macro.t()], Macro.Env.t()) :: boolean
  def cheap?(arguments, env) do
    {_, cost} = built(arguments, 0, env)
    cost <= @most
  end

  # A constant costs nothing, whatever its size: the compiler makes it a literal.
  defp weigh(constant, _env) when is_atom(constant) or is_number(constant) or is_binary(constant),
    do: {:constant, 0}

  defp weigh([], _env), do: {:constant, 0}

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

  defp weigh({:%{}, _, pairs}, env) do
    with true <- Enum.all?(pairs, &match?({_key, _value}, &1)),
         {keys, values} = Enum.unzip(pairs),
         {:constant, 0} <- built(keys, 0, env) do
      built(values, @map + @pair * length(pairs), env)
    else
      _ -> {:made, @never}
    end
  end

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
