defmodule Shop.Checkout do
  @moduledoc "From a cart to a paid order."

  alias Shop.{Bank, Cart, Catalogue, Dispatch, Inventory, Order, OrderBook}
  require ElixirScope.Trace, as: Trace

  @type payment :: %{card_number: String.t(), cvv: String.t()}
  @type refusal ::
          :no_such_cart | :empty_cart | :declined | {:out_of_stock, Shop.sku()}

  @doc "Takes the goods, charges the card, writes the order, closes the cart."
  @spec run(Shop.cart_id(), payment(), String.t()) :: {:ok, Order.t()} | {:error, refusal()}
  def run(cart, payment, postcode) do
    Trace.span "checkout", %{cart: cart, postcode: postcode} do
      with {:ok, lines} <- Cart.view(cart),
           :ok <- not_empty(lines),
           :ok <- Inventory.take(lines),
           cents = Catalogue.price(lines),
           :ok <- pay(lines, cents, payment) do
        order = OrderBook.place(cart, lines, cents, postcode)
        Trace.event(:order_placed, %{order: order.id, cart: cart, cents: cents, lines: lines})
        Cart.close(cart)
        Dispatch.send_out(order.id)
        {:ok, order}
      end
    end
  end

  defp not_empty(lines) when lines == %{}, do: {:error, :empty_cart}
  defp not_empty(_lines), do: :ok

  # The card's number is in the span's metadata, as it would be in many a program: the recorder masks it.
  defp pay(lines, cents, payment) do
    Trace.span "payment", Map.put(payment, :cents, cents) do
      with {:error, reason} <- Bank.charge(payment.card_number, cents) do
        Trace.snapshot()
        Inventory.put_back(lines)
        {:error, reason}
      end
    end
  end
end
