defmodule Shop.Label do
  @moduledoc "The label on a parcel."

  alias Shop.Order
  require ElixirScope.Trace, as: Trace

  @doc """
  The text of an order's label: number, area, street code.

      iex> order = %Shop.Order{id: 7, cart: "cart-1", lines: %{"tea" => 1}, cents: 450, postcode: "AB1 2CD"}
      iex> Shop.Label.print(order)
      "#7 AB1 / 2CD"
  """
  @spec print(Order.t()) :: String.t()
  def print(%Order{id: id, postcode: postcode}) do
    parts = String.split(postcode)
    Trace.snapshot()
    # Whoever wrote this had not met a postcode without a space.
    [area, street] = parts
    "##{id} #{area} / #{street}"
  end
end
