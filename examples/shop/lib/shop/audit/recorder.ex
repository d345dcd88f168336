defmodule Shop.Audit.Recorder do
  @moduledoc "Nothing is lost without being counted, nothing secret is on the tape, and memory stays below its limit."

  alias ElixirScope.Redacted
  alias Shop.Tape
  alias Shop.Audit.{Check, Secrets}
  alias Shop.Load.Ledger

  @doc false
  def checks(ledger) do
    window = Ledger.window(ledger)
    payments = Tape.calls(Shop.Bank, :charge, window)
    status = Tape.status()
    losses = Tape.all(event_type: :data_loss)

    [
      Check.new("payments with number and cvv masked", length(payments), Enum.count(payments, &masked?/1)),
      Check.new("card numbers in clear text", 0, Secrets.count(Ledger.card_numbers(ledger), window)),
      Check.new(
        "events lost, by counter and by event",
        lost(status),
        losses |> Enum.map(& &1.count) |> Enum.sum()
      ),
      Check.new("events kept, by counter and by query", status.store.events, Tape.count()),
      Check.new(
        "events recorded, and those kept or evicted",
        status.capture.events,
        status.store.events + status.store.evicted - length(losses)
      ),
      Check.new("tape's clock within 5 ms of the node's", true, status.clock.skew_ns < 5_000_000),
      Check.new("store within its limit", true, status.store.bytes.total <= status.store.memory_limit)
    ]
  end

  defp masked?(%{args: [%{card_number: %Redacted{}, cvv: %Redacted{}}, cents]}), do: is_integer(cents)

  defp masked?(_payment), do: false

  defp lost(status), do: status.capture.lost |> Map.values() |> Enum.sum()
end
