defmodule Shop.WebTest do
  use ExUnit.Case

  alias Shop.Load.Client

  setup do
    socket = Client.connect(Shop.Web.port())
    on_exit(fn -> :gen_tcp.close(socket) end)
    {201, %{"cart" => cart}} = Client.request(socket, "POST", "/carts")
    {:ok, socket: socket, cart: cart}
  end

  test "a shopper buys something on one connection", %{socket: socket, cart: cart} do
    assert {200, %{"tea" => _in_stock}} = Client.request(socket, "GET", "/products")

    assert {200, %{"tea" => "2"}} =
             Client.request(socket, "POST", "/carts/#{cart}/items", sku: "tea", units: 2)

    assert {200, %{"mug" => "1"}} =
             Client.request(socket, "POST", "/carts/#{cart}/items", sku: "mug", units: 1)

    assert {200, left} = Client.request(socket, "DELETE", "/carts/#{cart}/items/mug")
    assert left == %{"tea" => "2"}

    assert {201, %{"order" => order, "cents" => "900"}} = check_out(socket, cart, "4929000123456789")
    :ok = Shop.Dispatch.settle()

    assert {200, %{"status" => "dispatched", "cart" => ^cart}} =
             Client.request(socket, "GET", "/orders/#{order}")

    assert {404, %{"error" => "no such cart"}} = Client.request(socket, "GET", "/carts/#{cart}")
  end

  test "what cannot be done is answered with a status and a reason", %{socket: socket, cart: cart} do
    items = "/carts/#{cart}/items"
    assert {404, _error} = Client.request(socket, "GET", "/nowhere")
    assert {404, _error} = Client.request(socket, "GET", "/orders/none")
    assert {400, %{"error" => "units" <> _}} = Client.request(socket, "POST", items, sku: "tea", units: "x")
    assert {400, _error} = Client.request(socket, "POST", items, sku: "tea", units: 0)
    assert {400, %{"error" => "a parameter is missing"}} = Client.request(socket, "POST", items, sku: "tea")

    assert {422, %{"error" => "no such product"}} =
             Client.request(socket, "POST", items, sku: "moon", units: 1)

    assert {422, %{"error" => "the cart is empty"}} = check_out(socket, cart, "4929000123456789")

    {200, _lines} = Client.request(socket, "POST", items, sku: "lamp", units: 1_000)
    assert {409, %{"sku" => "lamp"}} = check_out(socket, cart, "4929000123456789")
    {200, _lines} = Client.request(socket, "DELETE", items <> "/lamp")
    {200, _lines} = Client.request(socket, "POST", items, sku: "tea", units: 1)
    assert {402, %{"error" => "card declined"}} = check_out(socket, cart, Shop.Bank.declined_card())
  end

  defp check_out(socket, cart, card) do
    fields = [card_number: card, cvv: "737", postcode: "AB1 2CD"]
    Client.request(socket, "POST", "/carts/#{cart}/checkout", fields)
  end
end
