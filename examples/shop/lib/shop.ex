defmodule Shop do
  @moduledoc """
  A small web shop, recorded by ElixirScope.

  What a shopper can do is a function here; `Shop.Web` offers the same over HTTP. Carts are processes, stock is
  kept by one process, orders live in Mnesia, and a dispatcher sends them out, when it does not crash.
  """

  alias Shop.{Cart, Carts, Checkout, Inventory, Order, OrderBook}

  @typedoc "A cart's name, such as `\"cart-17\"`."
  @type cart_id :: String.t()
  @type sku :: String.t()
  @typedoc "What is in a cart: units by product."
  @type lines :: %{sku() => pos_integer()}

  @doc "All products with the units in stock."
  @spec products() :: %{sku() => non_neg_integer()}
  defdelegate products(), to: Inventory, as: :stock

  @doc "Opens an empty cart."
  @spec open_cart() :: cart_id()
  defdelegate open_cart(), to: Carts, as: :open

  @doc "Puts units of a product into a cart."
  @spec add(cart_id(), sku(), pos_integer()) :: {:ok, lines()} | {:error, :no_such_cart | :no_such_product}
  defdelegate add(cart_id, sku, units), to: Cart

  @doc "Takes a product out of a cart, all units of it."
  @spec remove(cart_id(), sku()) :: {:ok, lines()} | {:error, :no_such_cart}
  defdelegate remove(cart_id, sku), to: Cart

  @doc "What is in a cart."
  @spec view(cart_id()) :: {:ok, lines()} | {:error, :no_such_cart}
  defdelegate view(cart_id), to: Cart

  @doc "Buys what is in a cart."
  @spec check_out(cart_id(), Checkout.payment(), String.t()) ::
          {:ok, Order.t()} | {:error, Checkout.refusal()}
  defdelegate check_out(cart_id, payment, postcode), to: Checkout, as: :run

  @doc "An order and how far it is."
  @spec order(Order.id()) :: {:ok, Order.t()} | {:error, :no_such_order}
  defdelegate order(id), to: OrderBook, as: :fetch
end
