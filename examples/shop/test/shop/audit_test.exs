defmodule Shop.AuditTest do
  use ExUnit.Case

  alias Shop.{Audit, Load}
  alias Shop.Audit.Check
  alias Shop.Load.{Entry, Ledger, Shelves}

  doctest Shop.Audit.Check
  doctest Shop.Audit.Verdict

  setup_all do
    {:ok, ledger: Load.run(requests: 600, shoppers: 8)}
  end

  test "agrees with what happened", %{ledger: ledger} do
    assert failed(ledger) == []
  end

  test "notices a request that is not on the tape", %{ledger: ledger} do
    [first | _more] = ledger.entries
    doubled = %{ledger | entries: [first | ledger.entries]}
    assert "requests products" in failed(doubled)
    assert "requests ended" in failed(doubled)
  end

  test "notices two steps of a cart that changed places", %{ledger: ledger} do
    swapped = change(ledger, &match?(%Entry{step: {:add_item, _sku, _units}}, &1), &%{&1 | step: :view_cart})
    assert "carts, each with all its steps in order" in failed(swapped)
  end

  test "notices a cart whose shopper was told of another content", %{ledger: ledger} do
    told =
      change(ledger, &match?(%Entry{step: {:add_item, _sku, _units}}, &1), &put_in(&1.answer["moon"], "1"))

    assert failed(told) == [
             "carts, each with all its states in order",
             "carts at instants of their shoppers",
             "steps of carts, each with what it changed"
           ]
  end

  test "notices a cart that its shopper saw with another content", %{ledger: ledger} do
    seen = change(ledger, &match?(%Entry{step: :view_cart}, &1), &put_in(&1.answer["moon"], "1"))
    assert "carts at instants of their shoppers" in failed(seen)
  end

  test "notices another stock than was told", %{ledger: ledger} do
    told = change(ledger, &match?(%Entry{step: :products}, &1), &put_in(&1.answer["tea"], "7"))
    assert "stock whenever a shopper looked" in failed(told)
  end

  test "notices a sale that nobody knows of", %{ledger: ledger} do
    unsold = change(ledger, &(&1 in Ledger.orders(ledger)), &%{&1 | status: 422})
    assert "stock whenever the shop was at rest" in failed(unsold)
  end

  test "notices that a checkout took something else", %{ledger: ledger} do
    [%{entry: %{cart: cart}} | _more] = Shelves.takings(ledger)
    filled? = &match?(%Entry{cart: ^cart, step: :view_cart}, &1)
    other = change(ledger, filled?, &Map.update!(&1, :answer, fn lines -> Map.put(lines, "moon", "1") end))
    assert "what checkouts took and put back" in failed(other)
  end

  test "notices that another request was the last to take a product", %{ledger: ledger} do
    last = ledger |> Shelves.takings() |> Enum.max_by(& &1.entry.asked_at)
    earlier = &%{&1 | asked_at: ledger.since, answered_at: ledger.since}

    assert "first and last changes of a product's stock, by their requests" in failed(
             change(ledger, &(&1 == last.entry), earlier)
           )
  end

  test "notices that a dispatcher packed something else", %{ledger: ledger} do
    [order | _more] = Enum.reject(Ledger.orders(ledger), &(Ledger.order_id(&1) in Ledger.crashers(ledger)))
    unsent = change(ledger, &(&1 == order), &%{&1 | status: 422})
    assert "orders packed, by the states of dispatchers" in failed(unsent)
  end

  test "checks each part of the past, and knows what it checked", %{ledger: ledger} do
    figures = Map.new(Audit.run(ledger), &{&1.what, &1.tape})

    for what <- [
          "carts as they were opened",
          "carts at instants of their shoppers",
          "steps of carts, each with what it changed",
          "stock whenever the shop was at rest",
          "stock whenever a shopper looked",
          "what checkouts took and put back",
          "first and last changes of a product's stock, by their requests",
          "dispatchers' states just before they crashed",
          "orders packed, by the states of dispatchers",
          "answers that the tape calls exact"
        ],
        do: assert(figures[what] > 0, what)

    assert figures["states that a later whole one proved wrong"] == 0
  end

  test "fails where nothing is left to check", %{ledger: ledger} do
    assert "anything left to check" in for(
             check <- [Audit.left(ledger, %{ledger | entries: []})],
             not Check.ok?(check),
             do: check.what
           )

    assert Check.ok?(Audit.left(ledger, ledger))
  end

  test "notices that something else was out of stock", %{ledger: ledger} do
    refused =
      change(ledger, &match?(%Entry{status: 201}, &1), &%{&1 | status: 409, answer: %{"sku" => "tea"}})

    assert "what failed, and how often" in failed(refused)
  end

  test "notices another price", %{ledger: ledger} do
    cheaper = change(ledger, &(&1 in Ledger.orders(ledger)), &put_in(&1.answer["cents"], "1"))
    assert failed(cheaper) == ["orders placed, each with cart and price"]
  end

  test "notices a crash that nobody asked for", %{ledger: ledger} do
    [order | _more] = Ledger.crashers(ledger)
    crashed? = &match?(%Entry{status: 201, answer: %{"order" => _}}, &1)

    harmless =
      change(ledger, &(crashed?.(&1) and Ledger.order_id(&1) == order), fn entry ->
        {:check_out, card, _postcode} = entry.step
        %{entry | step: {:check_out, card, "AB1 2CD"}}
      end)

    assert "orders that crashed the dispatcher" in failed(harmless)
    assert "orders dispatched" in failed(harmless)
  end

  test "notices a checkout that took longer than its shopper waited", %{ledger: ledger} do
    quick = change(ledger, &match?(%Entry{step: {:check_out, _, _}}, &1), &%{&1 | duration_ns: 1})
    assert failed(quick) == ["checkouts no longer than the shopper waited"]
  end

  test "finds a text that is on the tape", %{ledger: ledger} do
    assert Audit.Secrets.count(["AB1 2CD"], Ledger.window(ledger)) > 0
    assert Audit.Secrets.count(["no such text"], Ledger.window(ledger)) == 0
  end

  defp failed(ledger), do: for(check <- Audit.run(ledger), not Check.ok?(check), do: check.what)

  # Changes the first entry for which `which?` holds.
  defp change(ledger, which?, how) do
    {before, [part | rest]} = Enum.split_while(Ledger.parts(ledger), &(not Enum.any?(&1.entries, which?)))
    {earlier, [entry | later]} = Enum.split_while(part.entries, &(not which?.(&1)))
    Ledger.bind(before ++ [%{part | entries: earlier ++ [how.(entry) | later]} | rest])
  end
end
