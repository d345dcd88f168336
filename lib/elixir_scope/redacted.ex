defmodule ElixirScope.Redacted do
  @moduledoc """
  The mark that stands in a captured term in the place of a value that was masked.

  Which keys are masked is said by `capture: [redact:]`, see `ElixirScope.Config`. A masked value never reaches the tape.

      iex> inspect(%{password: %ElixirScope.Redacted{}})
      "%{password: #ElixirScope.Redacted<>}"
  """

  @type t :: %__MODULE__{}

  defstruct []

  defimpl Inspect do
    def inspect(_mark, _opts), do: "#ElixirScope.Redacted<>"
  end
end
