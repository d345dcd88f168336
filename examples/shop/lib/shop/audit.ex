defmodule Shop.Audit do
  @moduledoc """
  Does the tape agree with what the shoppers know that they did?

  Each check compares one figure of the ledger with the same figure of the tape, in the time of the ledger. Where the oldest
  events had to give way, that is the time since the first rest of the shop that is still on the tape.
  """

  alias Shop.Audit.{Carts, Causes, Check, Orders, Past, Recorder, Requests}
  alias Shop.Load.Ledger
  alias Shop.Tape

  @doc "All checks. They ask the shop too, which would record that, and push off the tape what they are about: so nothing is recorded."
  @spec run(Ledger.t()) :: [Check.t()]
  def run(ledger) do
    :ok = ElixirScope.pause()
    held = held(ledger)
    [left(ledger, held) | Enum.flat_map([Requests, Carts, Orders, Causes, Past, Recorder], & &1.checks(held))]
  after
    ElixirScope.resume()
  end

  @doc "What of the ledger can be checked: all of it, unless the oldest events had to give way."
  @spec held(Ledger.t()) :: Ledger.t()
  def held(ledger) do
    %{evicted: evicted, oldest: oldest} = Tape.status().store
    if evicted == 0, do: ledger, else: Ledger.held(ledger, oldest)
  end

  @doc "A check that something is left to check, where there was anything."
  @spec left(Ledger.t(), held :: Ledger.t()) :: Check.t()
  def left(ledger, held), do: Check.new("anything left to check", ledger.entries != [], held.entries != [])

  @doc "Whether all of them agree."
  @spec passed?([Check.t()]) :: boolean()
  def passed?(checks), do: Enum.all?(checks, &Check.ok?/1)
end
