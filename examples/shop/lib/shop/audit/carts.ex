defmodule Shop.Audit.Carts do
  @moduledoc """
  Each cart's process did what its shopper asked for, in that order, and nothing else; and what the shopper was told of its content
  was its state.
  """

  alias Shop.Tape
  alias Shop.Audit.Check
  alias Shop.Load.{Entry, Ledger}

  @doc false
  def checks(ledger) do
    window = Ledger.window(ledger)
    changes = Tape.states(Shop.Cart, window)
    opened = for %{callback: :init} = change <- changes, do: change
    carts = Ledger.by_cart(ledger)
    tape = Map.new(opened, &{&1.new_state.id, [:opened]})

    [
      Check.same(
        "carts, each with all its steps in order",
        Map.new(carts, fn {cart, entries} -> {cart, Enum.flat_map(entries, &asked/1)} end),
        Map.merge(tape, steps(window), fn _cart, a, b -> a ++ b end)
      ),
      Check.same(
        "carts, each with all its states in order",
        Map.new(carts, fn {cart, entries} -> {cart, Enum.flat_map(entries, &told/1)} end),
        Enum.group_by(changes, & &1.new_state.id, & &1.new_state.lines)
      ),
      Check.new("processes that were carts", map_size(carts), opened |> Enum.uniq_by(& &1.pid) |> length())
    ]
  end

  defp steps(window) do
    Shop.Cart
    |> Tape.calls(:handle_call, window)
    |> Enum.map(& &1.args)
    |> Enum.group_by(fn [_request, _from, cart] -> cart.id end, fn [request, _from, _cart] -> request end)
  end

  @doc "What a request means to its cart: the messages that the cart gets."
  @spec asked(Entry.t()) :: [term()]
  def asked(%Entry{step: :open_cart}), do: [:opened]
  def asked(%Entry{step: {:add_item, sku, units}}), do: [{:add, sku, units}]
  def asked(%Entry{step: {:remove_item, sku}}), do: [{:remove, sku}]
  def asked(%Entry{step: :view_cart}), do: [:view]
  def asked(%Entry{step: {:check_out, _card, _postcode}, status: 201}), do: [:view, :close]
  def asked(%Entry{step: {:check_out, _card, _postcode}}), do: [:view]
  def asked(%Entry{}), do: []

  # What the shopper was told whenever the cart changed.
  defp told(%Entry{step: :open_cart}), do: [%{}]
  defp told(%Entry{step: {:add_item, _sku, _units}} = entry), do: [Entry.units(entry)]
  defp told(%Entry{step: {:remove_item, _sku}} = entry), do: [Entry.units(entry)]
  defp told(%Entry{}), do: []
end
