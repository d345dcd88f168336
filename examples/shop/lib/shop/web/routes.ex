defmodule Shop.Web.Routes do
  @moduledoc """
  Which request does what.

      GET    /products                      all products and what is in stock
      POST   /carts                         opens a cart
      GET    /carts/:cart                   what is in it
      POST   /carts/:cart/items             sku, units
      DELETE /carts/:cart/items/:sku
      POST   /carts/:cart/checkout          card_number, cvv, postcode
      GET    /orders/:order                 how far it is
  """

  @type route ::
          :products | :open_cart | :view_cart | :add_item | :remove_item | :check_out | :order | :unknown
  @type answer :: {status :: pos_integer(), fields :: Enumerable.t()}

  @doc "The route of a request, with the arguments in its path."
  @spec match(String.t(), [String.t()]) :: {route(), [String.t()]}
  def match("GET", ["products"]), do: {:products, []}
  def match("POST", ["carts"]), do: {:open_cart, []}
  def match("GET", ["carts", cart]), do: {:view_cart, [cart]}
  def match("POST", ["carts", cart, "items"]), do: {:add_item, [cart]}
  def match("DELETE", ["carts", cart, "items", sku]), do: {:remove_item, [cart, sku]}
  def match("POST", ["carts", cart, "checkout"]), do: {:check_out, [cart]}
  def match("GET", ["orders", order]), do: {:order, [order]}
  def match(_method, _path), do: {:unknown, []}

  @doc "Does what a request asks for, and gives status and fields of the answer."
  @spec run(route(), [String.t()], %{String.t() => String.t()}) :: answer()
  def run(:products, [], _params), do: {200, Shop.products()}
  def run(:open_cart, [], _params), do: {201, [cart: Shop.open_cart()]}
  def run(:view_cart, [cart], _params), do: cart |> Shop.view() |> answer()
  def run(:remove_item, [cart, sku], _params), do: cart |> Shop.remove(sku) |> answer()

  def run(:add_item, [cart], %{"sku" => sku, "units" => units}) do
    case Integer.parse(units) do
      {units, ""} when units > 0 -> cart |> Shop.add(sku, units) |> answer()
      _other -> {400, [error: "units: a positive integer was expected"]}
    end
  end

  def run(:check_out, [cart], %{"card_number" => number, "cvv" => cvv, "postcode" => postcode}) do
    case Shop.check_out(cart, %{card_number: number, cvv: cvv}, postcode) do
      {:ok, order} -> {201, [order: order.id, cents: order.cents]}
      error -> answer(error)
    end
  end

  def run(:order, [order], _params) do
    with {id, ""} <- Integer.parse(order), {:ok, order} <- Shop.order(id) do
      {200, [order: order.id, cart: order.cart, cents: order.cents, status: order.status]}
    else
      _other -> answer({:error, :no_such_order})
    end
  end

  def run(:unknown, [], _params), do: {404, [error: "no such route"]}
  def run(_route, _arguments, _params), do: {400, [error: "a parameter is missing"]}

  defp answer({:ok, lines}), do: {200, lines}
  defp answer({:error, :declined}), do: {402, [error: "card declined"]}
  defp answer({:error, :empty_cart}), do: {422, [error: "the cart is empty"]}
  defp answer({:error, :no_such_product}), do: {422, [error: "no such product"]}
  defp answer({:error, {:out_of_stock, sku}}), do: {409, [error: "out of stock", sku: sku]}
  defp answer({:error, :no_such_cart}), do: {404, [error: "no such cart"]}
  defp answer({:error, :no_such_order}), do: {404, [error: "no such order"]}
end
