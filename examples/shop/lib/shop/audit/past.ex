defmodule Shop.Audit.Past do
  @moduledoc "What processes held at instants that are over is what the shoppers know, and nothing of it is called exact and wrong."

  alias Shop.Tape
  alias Shop.Audit.{Check, Verdict}
  alias Shop.Audit.Past.{Carts, Dispatchers, Shelves}

  @doc false
  def checks(ledger) do
    judged = Enum.flat_map([Carts, Shelves, Dispatchers], & &1.judge(ledger))
    verdicts = Enum.flat_map(judged, fn {_what, _known, verdicts} -> verdicts end)

    for({what, known, verdicts} <- judged, do: Verdict.check(what, known, verdicts)) ++
      Dispatchers.checks(ledger) ++
      [
        Verdict.exact(verdicts),
        Check.new("states that a later whole one proved wrong", 0, Tape.status().timelines.mismatches)
      ]
  end
end
