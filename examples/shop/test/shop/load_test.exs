defmodule Shop.LoadTest do
  use ExUnit.Case

  alias Shop.Bank
  alias Shop.Load.{Ledger, Plan}

  doctest Shop.Load
  doctest Shop.Load.Plan
  doctest Shop.Load.Entry

  describe "Plan.new/2" do
    test "has every kind of ending, and another seed has other journeys" do
      steps = List.flatten(Plan.new(5_000, 1))
      cards = for {:check_out, card, _postcode} <- steps, uniq: true, do: card
      postcodes = for {:check_out, _card, postcode} <- steps, do: postcode

      assert Bank.declined_card() in cards
      assert Bank.slow_card() in cards
      assert Plan.bad_postcode() in postcodes
      assert Enum.any?(steps, &match?({:remove_item, _sku}, &1))
      assert Plan.new(5_000, 2) != Plan.new(5_000, 1)
    end

    test "takes nothing out of a cart that is not in it" do
      for journey <- Plan.new(5_000, 3) do
        added = for {:add_item, sku, _units} <- journey, do: sku
        removed = for {:remove_item, sku} <- journey, do: sku
        assert removed -- added == []
      end
    end
  end

  describe "run/1" do
    test "does what the plan says, and counts each answer" do
      answers = :counters.new(1, [])
      count = fn -> :counters.add(answers, 1, 1) end
      ledger = Shop.Load.run(requests: 400, shoppers: 4, seed: 7, on_answer: count)
      steps = Enum.map(ledger.entries, & &1.step)

      assert Enum.sort(steps) == Enum.sort(List.flatten(Plan.new(400, 7)))
      assert :counters.get(answers, 1) == 400
      assert ledger.since < ledger.until
      assert Ledger.orders(ledger) != []
      assert Enum.all?(ledger.entries, &(&1.duration_ns > 0))
    end

    test "returns when all orders are sent out or stuck" do
      ledger = Shop.Load.run(requests: 400, shoppers: 4)
      crashers = Ledger.crashers(ledger)
      assert crashers != []

      for entry <- Ledger.orders(ledger) do
        id = Ledger.order_id(entry)
        expected = if id in crashers, do: :stuck, else: :dispatched
        assert {:ok, %{status: ^expected}} = Shop.order(id)
      end
    end
  end
end
