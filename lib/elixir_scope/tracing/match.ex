defmodule ElixirScope.Tracing.Match do
  @moduledoc false

  # Match specs that users give, as terms. Their heads and guards say which calls are meant; what the VM does then is said by the options
  # of a trace, so that a body may not.

  alias ElixirScope.{Error, Options}

  @type heads :: [{head :: term, guards :: list}]

  @doc "The heads and guards of a match spec for a function, or what is wrong with it; `option` is where it was given."
  @spec heads(term, mfa, atom) :: {:ok, heads} | {:error, Error.t()}
  def heads(spec, {_module, _function, arity} = function, option) do
    wrong = fn why ->
      {:error, %Error{reason: {:bad_match_spec, spec}, details: details(option, function, why)}}
    end

    cond do
      not (is_list(spec) and spec != [] and Options.proper_list?(spec)) ->
        wrong.("it is no list of {head, guards, body}")

      clause = Enum.find(spec, &(not clause?(&1))) ->
        wrong.("#{inspect(clause)} is no {head, guards, body}")

      clause = Enum.find(spec, fn {_head, _guards, body} -> not Enum.all?(body, &harmless?/1) end) ->
        wrong.(
          "the body of #{inspect(clause)} has actions: expected [], since the options of a trace say what is recorded"
        )

      clause = Enum.find(spec, fn {head, _guards, _body} -> is_list(head) and length(head) != arity end) ->
        wrong.("the head of #{inspect(clause)} does not have #{arity} elements")

      true ->
        heads = for {head, guards, _body} <- spec, do: {head, guards}

        case test(heads, arity) do
          [] -> {:ok, heads}
          texts -> wrong.(Enum.join(texts, " "))
        end
    end
  end

  defp clause?({head, guards, body}) do
    (is_atom(head) or Options.proper_list?(head)) and Options.proper_list?(guards) and
      Options.proper_list?(body)
  end

  defp clause?(_other), do: false

  defp harmless?({action}) when action in [:return_trace, :exception_trace], do: true
  defp harmless?({:message, true}), do: true
  defp harmless?(value), do: not is_tuple(value) and not is_list(value) and not is_map(value)

  # What the VM says of it.
  defp test(heads, arity) do
    spec = for {head, guards} <- heads, do: {head, guards, []}

    case :erlang.match_spec_test(List.duplicate([], arity), spec, :trace) do
      {:error, errors} -> for {_severity, text} <- errors, do: to_string(text)
      _compiled -> []
    end
  rescue
    ArgumentError -> ["it is no match spec."]
  end

  defp details(option, function, why), do: %{option: option, function: function, why: why}
end
