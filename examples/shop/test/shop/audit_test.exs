defmodule Shop.AuditTest do
  use ExUnit.Case

  alias Shop.{Audit, Load}
  alias Shop.Audit.Check
  alias Shop.Load.{Entry, Ledger}

  doctest Shop.Audit.Check

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

    assert failed(told) == ["carts, each with all its states in order"]
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
    {before, [entry | rest]} = Enum.split_while(ledger.entries, &(not which?.(&1)))
    %{ledger | entries: before ++ [how.(entry) | rest]}
  end
end
