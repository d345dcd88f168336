defmodule Shop.Audit.Orders do
  @moduledoc "Each order was placed at its price and sent out once, or crashed the dispatcher once, for the known reason."

  alias Shop.{Bank, Questions, Tape}
  alias Shop.Audit.Check
  alias Shop.Load.{Entry, Ledger, Plan}

  @doc false
  def checks(ledger) do
    window = Ledger.window(ledger)
    orders = Ledger.orders(ledger)
    crashers = Ledger.crashers(ledger)
    ids = Enum.map(orders, &Ledger.order_id/1)

    [
      Check.new("orders, each with a number of its own", length(orders), ids |> Enum.uniq() |> length()),
      Check.same(
        "orders placed, each with cart and price",
        placed_by_shoppers(orders),
        placed_on_tape(window)
      ),
      Check.same("orders dispatched", once(ids -- crashers), dispatched(window)),
      Check.same("orders that crashed the dispatcher", once(crashers), crashed(window)),
      Check.new("dispatchers started by their supervisor", length(crashers), started(window)),
      Check.new("checkouts no longer than the shopper waited", checkouts(ledger), within(ledger, window)),
      Check.new("checkouts that had to wait for a slow bank", slow(orders), slow_on_tape(ledger, window))
    ]
  end

  defp placed_by_shoppers(orders) do
    Map.new(orders, fn entry ->
      {Ledger.order_id(entry), {entry.cart, String.to_integer(entry.answer["cents"])}}
    end)
  end

  defp placed_on_tape(window) do
    Map.new(Tape.events(:order_placed, window), &{&1.data.order, {&1.data.cart, &1.data.cents}})
  end

  defp once(ids), do: Map.new(ids, &{&1, 1})

  defp dispatched(window) do
    Enum.frequencies_by(Tape.events(:order_dispatched, window), & &1.data.order)
  end

  # Crashes for any other reason, or in any other place, count under no order that a shopper knows.
  defp crashed(window) do
    bad = %MatchError{term: [Plan.bad_postcode()]}

    Enum.frequencies_by(Questions.crashes(window), fn crash ->
      if crash.reason == bad and crash.where =~ "Shop.Label.print/1", do: crash.order, else: crash
    end)
  end

  defp started(window), do: length(Tape.events(:dispatcher_started, window))

  defp checkouts(ledger), do: Enum.count(ledger.entries, &checkout?/1)

  # In one cart, the nth checkout of the ledger is the nth on the tape.
  defp within(ledger, window) do
    spans = spans_by_cart(window)
    tolerance_ns = tolerance_ns()

    ledger
    |> Ledger.by_cart()
    |> Enum.map(fn {cart, entries} ->
      entries
      |> Enum.filter(&checkout?/1)
      |> Enum.zip(Map.get(spans, cart, []))
      |> Enum.count(fn {entry, span} -> span.duration_ns <= entry.duration_ns + tolerance_ns end)
    end)
    |> Enum.sum()
  end

  defp slow(orders), do: Enum.count(orders, &slow?/1)

  defp slow_on_tape(ledger, window) do
    carts = for entry <- Ledger.orders(ledger), slow?(entry), into: MapSet.new(), do: entry.cart
    bank_ns = Bank.slow_ms() * 1_000_000 - tolerance_ns()

    window
    |> spans_by_cart()
    |> Enum.count(fn {cart, spans} ->
      cart in carts and Enum.any?(spans, &(&1.duration_ns >= bank_ns))
    end)
  end

  # The shoppers' clock and the tape's may differ by the skew at both ends of a duration.
  defp tolerance_ns, do: 2 * Tape.status().clock.skew_ns

  defp spans_by_cart(window) do
    carts = Map.new(Tape.begun_spans("checkout", window), &{&1.id, &1.metadata.cart})
    Enum.group_by(Tape.ended_spans("checkout", window), &carts[&1.call_id])
  end

  defp slow?(%Entry{step: {:check_out, card, _postcode}}), do: card == Bank.slow_card()

  defp checkout?(%Entry{step: step}), do: Entry.route(step) == :check_out
end
