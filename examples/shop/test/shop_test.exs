defmodule ShopTest do
  use ExUnit.Case

  @payment %{card_number: "4929000123456789", cvv: "737"}
  @declined %{card_number: Shop.Bank.declined_card(), cvv: "737"}

  doctest Shop.Catalogue
  doctest Shop.Label

  describe "a cart" do
    test "sums up the units of a product, and forgets a product that is taken out" do
      cart = Shop.open_cart()
      assert {:ok, %{"tea" => 1}} = Shop.add(cart, "tea", 1)
      assert {:ok, %{"tea" => 3}} = Shop.add(cart, "tea", 2)
      assert {:ok, %{"tea" => 3, "mug" => 1}} = Shop.add(cart, "mug", 1)
      assert {:ok, %{"mug" => 1} = left} = Shop.remove(cart, "tea")
      assert {:ok, ^left} = Shop.view(cart)
    end

    test "takes no product that the shop does not sell" do
      assert Shop.add(Shop.open_cart(), "moon", 1) == {:error, :no_such_product}
    end

    test "that was never opened is an error" do
      assert Shop.view("cart-none") == {:error, :no_such_cart}
      assert Shop.add("cart-none", "tea", 1) == {:error, :no_such_cart}
    end
  end

  describe "check_out/3" do
    test "makes an order at the catalogue's price, takes the goods from stock, and ends the cart" do
      cart = cart_with(%{"kettle" => 2})
      before = Shop.products()["kettle"]
      assert {:ok, %Shop.Order{cart: ^cart, cents: 9_800} = order} = Shop.check_out(cart, @payment, "AB1 2CD")
      assert Shop.products()["kettle"] == before - 2
      assert Shop.view(cart) == {:error, :no_such_cart}
      assert :ok = Shop.Dispatch.settle()
      assert {:ok, %Shop.Order{status: :dispatched}} = Shop.order(order.id)
    end

    test "with a declined card puts the goods back and leaves the cart open" do
      cart = cart_with(%{"honey" => 3})
      before = Shop.products()["honey"]
      assert Shop.check_out(cart, @declined, "AB1 2CD") == {:error, :declined}
      assert Shop.products()["honey"] == before
      assert Shop.view(cart) == {:ok, %{"honey" => 3}}
    end

    test "of more than there is takes nothing at all" do
      cart = cart_with(%{"tea" => 1, "lamp" => 1_000})
      before = Shop.products()
      assert Shop.check_out(cart, @payment, "AB1 2CD") == {:error, {:out_of_stock, "lamp"}}
      assert Shop.products() == before
    end

    test "of an empty cart is refused" do
      assert Shop.check_out(Shop.open_cart(), @payment, "AB1 2CD") == {:error, :empty_cart}
    end
  end

  defp cart_with(lines) do
    cart = Shop.open_cart()
    Enum.each(lines, fn {sku, units} -> {:ok, _lines} = Shop.add(cart, sku, units) end)
    cart
  end
end
