defmodule Shop.Audit.Past.Dispatchers do
  @moduledoc """
  Just before it crashed, each dispatcher had in its state what it had packed; all of them together packed what the shoppers bought.
  """

  alias Shop.{Questions, Tape}
  alias Shop.Audit.{Check, Verdict}
  alias Shop.Load.Ledger

  @doc false
  def judge(ledger) do
    crashes = Questions.crashes(Ledger.window(ledger))
    sent = MapSet.new(sent(ledger))

    [
      {"dispatchers' states just before they crashed", length(Ledger.crashers(ledger)),
       Enum.map(crashes, &crashed(&1, ledger, sent))}
    ]
  end

  # The orders that could be sent out.
  defp sent(ledger), do: Enum.map(Ledger.orders(ledger), &Ledger.order_id/1) -- Ledger.crashers(ledger)

  # What the crashed callback was called with, and an order that a shopper knows to have been sent out, unless it had packed none since.
  defp crashed(crash, ledger, sent) do
    packed? = fn state -> state.packed > packed_at(crash.pid, ledger.since) end

    Verdict.on(Tape.state_at(crash.pid, crash.at - 1), fn state ->
      state == crash.state and (state.last in sent or not packed?.(state))
    end)
  end

  @doc false
  def checks(ledger) do
    window = Ledger.window(ledger)
    states = Enum.group_by(Tape.states(Shop.Dispatcher, window), & &1.pid, & &1.id)
    packed = for {pid, _ids} <- states, do: packed_at(pid, ledger.until) - packed_at(pid, ledger.since)

    # What a callback had packed that crashed at a later order is in no state.
    beyond =
      for %{args: [_id, :packing, :dispatched]} = move <- Tape.calls(Shop.OrderBook, :move, window),
          Enum.all?(Map.get(states, move.pid, []), &(&1 < move.id)),
          do: move

    [
      Check.new(
        "orders packed, by the states of dispatchers",
        length(sent(ledger)),
        Enum.sum(packed) + length(beyond)
      )
    ]
  end

  # A dispatcher that was not yet there has packed nothing, and one that is not any more what it had packed.
  defp packed_at(pid, at) do
    case Tape.state_at(pid, at) do
      {:ok, state, _quality} -> state.packed
      {:error, :no_state_recorded} -> 0
      {:error, {:exited, _at, _reason}} -> packed_at(pid, :last)
      {:error, :evicted} -> 0
    end
  end
end
