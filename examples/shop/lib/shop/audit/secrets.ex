defmodule Shop.Audit.Secrets do
  @moduledoc "Looks for texts that must not be on the tape, in every term of every event."

  alias Shop.Tape

  @doc "How many events hold one of these texts."
  @spec count([String.t()], keyword()) :: non_neg_integer()
  def count([], _window), do: 0

  def count(secrets, window) do
    pattern = :binary.compile_pattern(secrets)
    window |> Tape.stream() |> Enum.count(&holds?(&1, pattern))
  end

  defp holds?(text, pattern) when is_binary(text), do: :binary.match(text, pattern) != :nomatch

  # Erlang's texts are lists of characters.
  defp holds?([char | _more] = list, pattern) when is_integer(char),
    do: List.ascii_printable?(list) and holds?(List.to_string(list), pattern)

  defp holds?([head | tail], pattern), do: holds?(head, pattern) or holds?(tail, pattern)
  defp holds?(map, pattern) when is_map(map), do: map |> :maps.to_list() |> holds?(pattern)
  defp holds?(tuple, pattern) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> holds?(pattern)
  defp holds?(_other, _pattern), do: false
end
