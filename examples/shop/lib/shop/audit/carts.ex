defmodule Shop.Audit.Carts do
  @moduledoc "Each cart's process did what its shopper asked for, in that order, and nothing else."

  alias Shop.Tape
  alias Shop.Audit.Check
  alias Shop.Load.{Entry, Ledger}

  @steps ["cart.add", "cart.remove", "cart.view", "cart.close"]

  @doc false
  def checks(ledger) do
    opened = Tape.events(:cart_opened, Ledger.window(ledger))

    shoppers =
      Map.new(Ledger.by_cart(ledger), fn {cart, entries} -> {cart, Enum.flat_map(entries, &asked/1)} end)

    tape = Map.new(opened, &{&1.data.cart, [:opened]})
    steps = ledger |> Ledger.window() |> steps()

    [
      Check.same(
        "carts, each with all its steps in order",
        shoppers,
        Map.merge(tape, steps, fn _cart, a, b -> a ++ b end)
      ),
      Check.new("processes that were carts", map_size(shoppers), opened |> Enum.uniq_by(& &1.pid) |> length())
    ]
  end

  defp steps(window) do
    [event_type: :span_start, where: [{[:name], :in, @steps}]]
    |> Keyword.merge(window)
    |> Tape.stream()
    |> Enum.group_by(& &1.metadata.cart, &did/1)
  end

  defp did(%{name: "cart.add", metadata: %{sku: sku, units: units}}), do: {:add, sku, units}
  defp did(%{name: "cart.remove", metadata: %{sku: sku}}), do: {:remove, sku}
  defp did(%{name: "cart.view"}), do: :view
  defp did(%{name: "cart.close"}), do: :close

  # What a request means to the cart.
  defp asked(%Entry{step: :open_cart}), do: [:opened]
  defp asked(%Entry{step: {:add_item, sku, units}}), do: [{:add, sku, units}]
  defp asked(%Entry{step: {:remove_item, sku}}), do: [{:remove, sku}]
  defp asked(%Entry{step: :view_cart}), do: [:view]
  defp asked(%Entry{step: {:check_out, _card, _postcode}, status: 201}), do: [:view, :close]
  defp asked(%Entry{step: {:check_out, _card, _postcode}}), do: [:view]
  defp asked(%Entry{}), do: []
end
