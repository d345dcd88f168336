defmodule Shop.Checkout do
  @moduledoc "From a cart to a paid order."

  alias Shop.{Bank, Cart, Catalogue, Dispatch, Inventory, Order, OrderBook}

  @type payment :: %{card_number: String.t(), cvv: String.t()}
  @type refusal ::
          :no_such_cart | :empty_cart | :declined | {:out_of_stock, Shop.sku()}

  @doc "Takes the goods, charges the card, writes the order, closes the cart."
  @spec run(Shop.cart_id(), payment(), String.t()) :: {:ok, Order.t()} | {:error, refusal()}
  def run(cart, payment, postcode) do
    with {:ok, lines} <- Cart.view(cart),
         :ok <- not_empty(lines),
         :ok <- Inventory.take(lines),
         cents = Catalogue.price(lines),
         :ok <- pay(lines, cents, payment) do
      order = OrderBook.place(cart, lines, cents, postcode)
      Cart.close(cart)
      Dispatch.send_out(order.id)
      {:ok, order}
    end
  end

  defp not_empty(lines) when lines == %{}, do: {:error, :empty_cart}
  defp not_empty(_lines), do: :ok

  defp pay(lines, cents, payment) do
    with {:error, reason} <- Bank.charge(payment, cents) do
      Inventory.put_back(lines)
      {:error, reason}
    end
  end
end
