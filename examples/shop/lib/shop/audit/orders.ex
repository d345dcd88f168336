defmodule Shop.Audit.Orders do
  @moduledoc """
  Each order was placed at its price and sent out once, or crashed the dispatcher once, for the known reason; and what else failed
  is what the shoppers were told.
  """

  alias Shop.{Bank, Questions, Tape}
  alias Shop.Audit.Check
  alias Shop.Load.{Entry, Ledger, Plan}

  @doc false
  def checks(ledger) do
    window = Ledger.window(ledger)
    orders = Ledger.orders(ledger)
    crashers = Ledger.crashers(ledger)
    ids = Enum.map(orders, &Ledger.order_id/1)
    moves = Tape.calls(Shop.OrderBook, :move, window)
    crashes = Questions.crashes(window)

    [
      Check.new("orders, each with a number of its own", length(orders), ids |> Enum.uniq() |> length()),
      Check.same(
        "orders placed, each with cart and price",
        placed_by_shoppers(orders),
        placed_on_tape(window)
      ),
      Check.same("orders dispatched", once(ids -- crashers), moved(moves, :dispatched)),
      Check.same("orders that crashed the dispatcher", once(crashers), crashed(crashes)),
      Check.same("orders put aside", once(crashers), moved(moves, :stuck)),
      Check.new("dispatchers started by their supervisor", length(crashers), started(window)),
      Check.new("crashes, each with the state that came before", length(crashers), as_before(crashes)),
      packed(moves, window),
      Check.same("what failed, and how often", refused(ledger), failed(window)),
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
    Map.new(Tape.ends(Shop.OrderBook, :place, window), &{&1.result.id, {&1.result.cart, &1.result.cents}})
  end

  defp once(ids), do: Map.new(ids, &{&1, 1})

  defp moved(moves, to) do
    Enum.frequencies(for %{args: [id, :packing, ^to]} <- moves, do: id)
  end

  # Crashes for any other reason, or in any other place, count under no order that a shopper knows.
  defp crashed(crashes) do
    bad = %MatchError{term: [Plan.bad_postcode()]}

    Enum.frequencies_by(crashes, fn crash ->
      if crash.reason == bad and crash.where =~ "Shop.Label.print/1", do: crash.order.id, else: crash
    end)
  end

  defp started(window), do: length(Tape.calls(Shop.Dispatcher, :init, window))

  # The last state that the worker came to is what its crashed callback was called with. It may have come to it so early that the
  # tape does not hold that any more.
  defp as_before(crashes) do
    evicted? = Tape.status().store.evicted > 0

    Enum.count(crashes, fn crash ->
      case Tape.newest(pid: crash.pid, event_type: :state_change, before: crash.event_id) do
        nil -> evicted?
        change -> change.new_state == crash.state
      end
    end)
  end

  # From one state of a dispatcher to the next, it counts what it packed between them.
  defp packed(moves, window) do
    dispatched = for %{args: [_id, :packing, :dispatched]} = move <- moves, do: move
    by_worker = Enum.group_by(dispatched, & &1.pid, & &1.id)
    states = Tape.states(Shop.Dispatcher, window)

    right =
      states
      |> Enum.group_by(& &1.pid)
      |> Enum.map(fn {worker, states} -> steady(states, Map.get(by_worker, worker, [])) end)
      |> Enum.sum()

    Check.new("states of dispatchers, each with what was packed", length(states), right)
  end

  defp steady([first | _more] = states, dispatched) do
    Enum.count(states, fn state ->
      between = Enum.count(dispatched, &(&1 > first.id and &1 < state.id))
      state.new_state.packed == first.new_state.packed + between
    end)
  end

  defp refused(ledger) do
    declined = Ledger.statuses(ledger)[402] || 0
    bad = %MatchError{term: [Plan.bad_postcode()]}

    Ledger.out_of_stock(ledger)
    |> Map.new(fn {sku, times} -> {{{Shop.Inventory, :handle_call, 3}, {:out_of_stock, sku}}, times} end)
    |> Map.put({{Bank, :charge, 2}, :declined}, declined)
    |> Map.put({{Shop.Label, :print, 1}, bad}, length(Ledger.crashers(ledger)))
    |> Map.reject(fn {_failure, times} -> times == 0 end)
  end

  defp failed(window), do: Map.new(Questions.failures(window), &{{&1.function, &1.error}, &1.times})

  defp checkouts(ledger), do: Enum.count(ledger.entries, &checkout?/1)

  # In one cart, the nth checkout of the ledger is the nth on the tape.
  defp within(ledger, window) do
    checkouts = by_cart(window)
    tolerance_ns = tolerance_ns()

    ledger
    |> Ledger.by_cart()
    |> Enum.map(fn {cart, entries} ->
      entries
      |> Enum.filter(&checkout?/1)
      |> Enum.zip(Map.get(checkouts, cart, []))
      |> Enum.count(fn {entry, checkout} -> checkout.duration_ns <= entry.duration_ns + tolerance_ns end)
    end)
    |> Enum.sum()
  end

  defp slow(orders), do: Enum.count(orders, &slow?/1)

  defp slow_on_tape(ledger, window) do
    carts = for entry <- Ledger.orders(ledger), slow?(entry), into: MapSet.new(), do: entry.cart
    bank_ns = Bank.slow_ms() * 1_000_000 - tolerance_ns()

    window
    |> by_cart()
    |> Enum.count(fn {cart, checkouts} ->
      cart in carts and Enum.any?(checkouts, &(&1.duration_ns >= bank_ns))
    end)
  end

  # The shoppers' clock and the tape's may differ by the skew at both ends of a duration.
  defp tolerance_ns, do: 2 * Tape.status().clock.skew_ns

  defp by_cart(window) do
    carts = Map.new(Tape.calls(Shop.Checkout, :run, window), &{&1.id, hd(&1.args)})
    Enum.group_by(Tape.ends(Shop.Checkout, :run, window), &carts[&1.call_id])
  end

  defp slow?(%Entry{step: {:check_out, card, _postcode}}), do: card == Bank.slow_card()

  defp checkout?(%Entry{step: step}), do: Entry.route(step) == :check_out
end
