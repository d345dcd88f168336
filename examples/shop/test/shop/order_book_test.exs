defmodule Shop.OrderBookTest do
  use ExUnit.Case

  alias Shop.OrderBook

  describe "place/4" do
    test "gives each order a number of its own from the first on, however many come at once" do
      new_book()
      place = fn _n -> OrderBook.place("cart", %{"tea" => 1}, 450, "AB1 2CD").id end
      ids = 1..64 |> Task.async_stream(place, max_concurrency: 16) |> Enum.map(fn {:ok, id} -> id end)
      assert Enum.sort(ids) == Enum.to_list(1..64)

      Enum.each(ids, &Shop.Dispatch.send_out/1)
      assert :ok = Shop.Dispatch.settle()
    end
  end

  describe "move/3" do
    test "lets one of several callers have the order" do
      order = OrderBook.place("cart", %{"tea" => 1}, 450, "AB1 2CD")
      move = fn _n -> OrderBook.move(order.id, :paid, :packing) end

      answers =
        1..16 |> Task.async_stream(move, max_concurrency: 16) |> Enum.map(fn {:ok, answer} -> answer end)

      assert Enum.count(answers, &match?({:ok, %{status: :packing}}, &1)) == 1
      assert Enum.count(answers, &(&1 == {:error, :moved})) == 15
      assert {:ok, _order} = OrderBook.move(order.id, :packing, :stuck)
    end

    test "knows no order that was never placed" do
      assert OrderBook.move(0, :paid, :packing) == {:error, :moved}
      assert OrderBook.fetch(0) == {:error, :no_such_order}
    end
  end

  defp new_book do
    :ok = Shop.Dispatch.settle()
    :ok = Supervisor.terminate_child(Shop.Supervisor, OrderBook)
    {:atomic, :ok} = :mnesia.delete_table(:shop_orders)
    {:atomic, :ok} = :mnesia.delete_table(:shop_counters)
    {:ok, _pid} = Supervisor.restart_child(Shop.Supervisor, OrderBook)
  end
end
