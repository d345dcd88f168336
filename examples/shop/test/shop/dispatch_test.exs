defmodule Shop.DispatchTest do
  use ExUnit.Case

  alias Shop.{Dispatch, Dispatcher, OrderBook}

  describe "an order whose label cannot be printed" do
    test "crashes the dispatcher once, and is put aside by the next one" do
      worker = Process.monitor(Dispatcher)
      order = place("AB12CD")
      Dispatch.send_out(order.id)

      assert_receive {:DOWN, ^worker, :process, _pid, {{:badmatch, ["AB12CD"]}, _stacktrace}}, 5_000
      assert :ok = Dispatch.settle()
      assert {:ok, %{status: :stuck}} = Shop.order(order.id)
    end

    test "does not keep back the orders behind it" do
      orders = Enum.map(["AB1 2CD", "AB12CD", "AB1 2CD"], &place/1)
      Enum.each(orders, &Dispatch.send_out(&1.id))
      assert :ok = Dispatch.settle()
      assert Enum.map(orders, &status/1) == [:dispatched, :stuck, :dispatched]
    end
  end

  describe "an order that nobody told the dispatcher of" do
    test "is found in the book when the dispatcher starts again" do
      forgotten = place("AB1 2CD")
      Dispatch.send_out(place("AB12CD").id)
      assert :ok = Dispatch.settle()
      assert status(forgotten) == :dispatched
    end
  end

  defp place(postcode), do: OrderBook.place("cart-of-#{inspect(self())}", %{"tea" => 1}, 450, postcode)

  defp status(order) do
    {:ok, order} = Shop.order(order.id)
    order.status
  end
end
