defmodule Shop.Audit do
  @moduledoc """
  Does the tape agree with what the shoppers know that they did?

  Each check compares one figure of the ledger with the same figure of the tape, in the time of the ledger.
  """

  alias Shop.Audit.{Carts, Check, Orders, Recorder, Requests}
  alias Shop.Load.Ledger

  @doc "All checks."
  @spec run(Ledger.t()) :: [Check.t()]
  def run(ledger) do
    Enum.flat_map([Requests, Carts, Orders, Recorder], & &1.checks(ledger))
  end

  @doc "Whether all of them agree."
  @spec passed?([Check.t()]) :: boolean()
  def passed?(checks), do: Enum.all?(checks, &Check.ok?/1)
end
