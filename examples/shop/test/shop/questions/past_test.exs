defmodule Shop.Questions.PastTest do
  use ExUnit.Case

  alias Shop.Load.{Ledger, Moment, Shelves}
  alias Shop.{Questions, Tape}
  alias Shop.Questions.Past

  setup_all do
    {:ok, ledger: Shop.Load.run(requests: 800, shoppers: 8)}
  end

  describe "cart/1" do
    test "is each state that a cart came to, with what the step changed" do
      cart = Shop.open_cart()
      for sku <- ["tea", "mug", "tea"], do: {:ok, _lines} = Shop.add(cart, sku, 2)
      {:ok, _lines} = Shop.remove(cart, "mug")

      assert [_opened | steps] = Past.cart(cart)

      assert for(
               step <- steps,
               [change] = step.state_diff,
               do: {change.op, change.path, change[:old], change[:new]}
             ) ==
               [
                 {:added, [:lines, "tea"], nil, 2},
                 {:added, [:lines, "mug"], nil, 2},
                 {:changed, [:lines, "tea"], 2, 4},
                 {:removed, [:lines, "mug"], 2, nil}
               ]
    end

    test "of a cart never seen is empty" do
      assert Past.cart("cart-none") == []
      assert Past.cart_at("cart-none", []) == []
    end
  end

  describe "cart_at/2" do
    test "is what the shopper of a paid cart knew before, between and after its requests", %{ledger: ledger} do
      order = List.last(Ledger.orders(ledger))
      views = Past.cart_at(order.cart, Moment.of_cart(Ledger.by_cart(ledger)[order.cart]))

      assert [%{state: :no_state_recorded, diff: []} | later] = views
      assert length(later) > 6
      for view <- later, do: assert(view.state == %{id: order.cart, lines: view.moment.lines})

      # What changed, one after the other, makes the last of the first.
      lines =
        for %{diff: diff} <- later, change <- diff, reduce: %{} do
          lines ->
            if change.op == :removed,
              do: Map.delete(lines, sku(change)),
              else: Map.put(lines, sku(change), change.new)
        end

      assert lines == List.last(views).moment.lines
    end
  end

  describe "checkout/1" do
    test "is what one checkout changed on the shelves, in the order book, and in the dispatcher", %{
      ledger: ledger
    } do
      %{entry: entry, lines: lines} =
        Enum.find(
          Shelves.takings(ledger),
          &(&1.entry.status == 201 and Ledger.order_id(&1.entry) not in Ledger.crashers(ledger))
        )

      id = Ledger.order_id(entry)
      effects = Enum.group_by(Past.checkout(entry), & &1.what, & &1.diff)

      assert [shelves] = effects["shelves"]
      assert Enum.sort(Enum.map(shelves, & &1.path)) == lines |> Map.keys() |> Enum.sort() |> Enum.map(&[&1])
      assert [while] = effects["shelves, since it was asked"]
      assert shelves |> Enum.map(& &1.path) |> Enum.all?(fn path -> path in Enum.map(while, & &1.path) end)

      # Unless it was found in the book by the next dispatcher.
      assert [[%{op: :added, path: [^id], new: :paid}] | moved] = effects["order book"]
      assert moved in [[], [[move(id, :paid, :packing)], [move(id, :packing, :dispatched)]]]
      if moved != [], do: assert([[_last, _packed]] = effects["dispatcher"])
    end
  end

  describe "last_taken/2" do
    test "names the request that last took a product, and the shoppers know it", %{ledger: ledger} do
      products = Map.keys(Shop.products())
      takings = Past.last_taken(products, before: ledger.until)
      assert Enum.map(takings, & &1.sku) == products

      for taking <- takings, taking.change.timestamp > ledger.since do
        assert %Shop.Web.Request{method: "POST", path: ["carts", cart, "checkout"]} = taking.request
        assert cart == taking.cart
        assert [entry] = Shelves.at(Shelves.takings(ledger), taking.sku, taking.change.timestamp, cart)
        assert entry.cart == cart
        assert taking.units == {taking.change.old_state[taking.sku], taking.change.new_state[taking.sku]}
        assert elem(taking.units, 0) != elem(taking.units, 1)
      end
    end

    test "goes forward as well", %{ledger: ledger} do
      assert [first] = Past.last_taken(["tea"], after: ledger.since)
      assert [last] = Past.last_taken(["tea"], before: ledger.until)
      assert ledger.since < first.change.timestamp
      assert first.change.timestamp < last.change.timestamp
    end
  end

  describe "crashed/1" do
    test "is the state that the crashed callback was called with, and how it came about", %{ledger: ledger} do
      crash = ledger |> Ledger.window() |> Questions.crashes() |> List.last()
      assert %{state: {:ok, state, quality}, history: history} = Past.crashed(crash)
      assert state == crash.state
      assert quality != :approximate
      assert List.last(history).new_state == state
      refute Process.alive?(crash.pid)
    end

    test "of no crash is nothing" do
      assert Past.crashed(nil) == nil
    end
  end

  describe "the tape's past" do
    test "of a process never recorded is told as such" do
      idle = spawn(fn -> Process.sleep(:infinity) end)
      assert Tape.state_at(idle, :last) == {:error, :no_state_recorded}
      assert Tape.history(idle) == []
      assert Tape.diff(idle, 1, 2) == {:error, :no_state_recorded}
      assert Tape.last_change(idle, []) == {:error, :no_state_recorded}
      Process.exit(idle, :kill)
    end
  end

  defp sku(%{path: [:lines, sku]}), do: sku

  defp move(id, from, to), do: %{op: :changed, path: [id], old: from, new: to}
end
