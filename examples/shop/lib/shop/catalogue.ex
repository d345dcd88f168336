defmodule Shop.Catalogue do
  @moduledoc """
  What the shop sells.

  Prices are in cents. `stock` is what the shop opens with, `delivery` what comes when it runs low; the lamps are the
  last of their kind.
  """

  @products %{
    "tea" => %{price: 450, stock: 500, delivery: 500},
    "mug" => %{price: 1_200, stock: 300, delivery: 300},
    "kettle" => %{price: 4_900, stock: 200, delivery: 200},
    "honey" => %{price: 780, stock: 400, delivery: 400},
    "biscuits" => %{price: 320, stock: 600, delivery: 600},
    "lamp" => %{price: 8_900, stock: 150, delivery: 0}
  }

  @type product :: %{price: pos_integer(), stock: non_neg_integer(), delivery: non_neg_integer()}

  @doc "All products by their SKU."
  @spec products() :: %{Shop.sku() => product()}
  def products, do: @products

  @doc "Whether the shop sells this."
  @spec known?(Shop.sku()) :: boolean()
  def known?(sku), do: is_map_key(@products, sku)

  @doc """
  What these lines cost, in cents.

      iex> Shop.Catalogue.price(%{"tea" => 2, "mug" => 1})
      2100
  """
  @spec price(Shop.lines()) :: non_neg_integer()
  def price(lines) do
    Enum.reduce(lines, 0, fn {sku, units}, cents -> cents + units * @products[sku].price end)
  end
end
