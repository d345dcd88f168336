defmodule Shop.Load.Entry do
  @moduledoc "One request as the shopper knows it: what was asked, in which cart, what came back, when, and how long it took."

  alias Shop.Load.Plan

  @enforce_keys [:step, :cart, :status, :answer, :asked_at, :answered_at, :duration_ns]
  defstruct [:step, :cart, :status, :answer, :asked_at, :answered_at, :duration_ns]

  @typedoc "`asked_at` and `answered_at` are instants on the tape's clock, nil where nothing is recorded; the duration is by the shopper's own."
  @type t :: %__MODULE__{
          step: Plan.step(),
          cart: Shop.cart_id() | nil,
          status: pos_integer(),
          answer: %{String.t() => String.t()},
          asked_at: integer() | nil,
          answered_at: integer() | nil,
          duration_ns: pos_integer()
        }

  @doc """
  The units by product that it was told.

      iex> Shop.Load.Entry.units(%{answer: %{"tea" => "2"}})
      %{"tea" => 2}
  """
  @spec units(t()) :: %{Shop.sku() => non_neg_integer()}
  def units(%{answer: answer}), do: Map.new(answer, fn {sku, units} -> {sku, String.to_integer(units)} end)

  @doc """
  The route that this request took.

      iex> Shop.Load.Entry.route({:add_item, "tea", 2})
      :add_item
  """
  @spec route(Plan.step()) :: Shop.Web.Routes.route()
  def route(step) when is_tuple(step), do: elem(step, 0)
  def route(step), do: step
end
