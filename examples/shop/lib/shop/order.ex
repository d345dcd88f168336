defmodule Shop.Order do
  @moduledoc "An order: what was bought in one checkout, and how far it is."

  @enforce_keys [:id, :cart, :lines, :cents, :postcode]
  defstruct [:id, :cart, :lines, :cents, :postcode, status: :paid]

  @type id :: pos_integer()
  @typedoc "`:stuck` is an order in whose packing the dispatcher crashed: somebody has to look at it."
  @type status :: :paid | :packing | :dispatched | :stuck
  @type t :: %__MODULE__{
          id: id(),
          cart: Shop.cart_id(),
          lines: Shop.lines(),
          cents: non_neg_integer(),
          postcode: String.t(),
          status: status()
        }
end
