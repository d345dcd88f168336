defmodule Shop.LoadTest do
  use ExUnit.Case

  alias Shop.Bank
  alias Shop.Load.{Entry, Ledger, Moment, Plan, Shelves}

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

  describe "Moment.of_cart/1" do
    test "knows a cart before, between and after its requests" do
      entries = [
        entry(:open_cart, 201, %{"cart" => "cart-1"}, 10),
        entry({:add_item, "tea", 2}, 200, %{"tea" => "2"}, 20),
        entry({:check_out, "card", "AB1 2CD"}, 402, %{"error" => "card declined"}, 30),
        entry({:check_out, "card", "AB1 2CD"}, 201, %{"order" => "7"}, 40),
        entry(:order, 200, %{"order" => "7"}, 50)
      ]

      assert for(moment <- Moment.of_cart(entries), do: {moment.at, moment.lines}) ==
               [{10, nil}] ++
                 for(at <- [14, 17, 20], do: {at, %{}}) ++
                 for(at <- [24, 27, 30, 34, 37, 40, 44, 47, 50, 54], do: {at, %{"tea" => 2}})

      assert Enum.map(Moment.at_requests(entries), & &1.at) == [10, 14, 24, 34, 44, 54]
    end
  end

  describe "Shelves" do
    test "know what was there before the first checkout, who took what, and what was sold" do
      entries = [
        entry(:products, 200, %{"tea" => "90"}, 60, nil),
        entry(:products, 200, %{"tea" => "100"}, 0, nil),
        entry(:open_cart, 201, %{"cart" => "cart-1"}, 10),
        entry({:add_item, "tea", 2}, 200, %{"tea" => "2"}, 20),
        entry({:check_out, "card", "AB1 2CD"}, 402, %{"error" => "card declined"}, 30),
        entry({:check_out, "card", "AB1 2CD"}, 409, %{"error" => "out of stock", "sku" => "tea"}, 40),
        entry({:check_out, "card", "AB1 2CD"}, 201, %{"order" => "7"}, 50)
      ]

      ledger = %Ledger{entries: entries, since: 0, until: 100}
      assert Shelves.opening(ledger) == %{"tea" => 100}
      takings = Shelves.takings(ledger)

      assert for(taking <- takings, do: {taking.entry.status, taking.lines}) == [
               {402, %{"tea" => 2}},
               {201, %{"tea" => 2}}
             ]

      assert Shelves.sold(ledger) == %{"tea" => 2}
      assert [%{status: 201}] = Shelves.at(takings, "tea", 52)
      assert Shelves.at(takings, "tea", 52, "cart-2") == []
      assert Shelves.at(takings, "mug", 52) == []
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
      assert Enum.all?(ledger.entries, &(ledger.since < &1.asked_at and &1.asked_at < &1.answered_at))
      assert Enum.all?(ledger.entries, &(&1.answered_at < ledger.until))
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

  defp entry(step, status, answer, at, cart \\ "cart-1") do
    %Entry{
      step: step,
      cart: cart,
      status: status,
      answer: answer,
      asked_at: at,
      answered_at: at + 4,
      duration_ns: 4
    }
  end
end
