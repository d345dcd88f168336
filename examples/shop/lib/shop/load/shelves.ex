defmodule Shop.Load.Shelves do
  @moduledoc """
  What the shoppers know of the stock: what was there when they came, and which of their checkouts took what.
  """

  alias Shop.Load.{Entry, Ledger, Moment}

  @typedoc "A checkout that took goods. With a declined card (402), they were put back before it was answered."
  @type taking :: %{entry: Entry.t(), lines: Shop.lines()}

  @doc """
  The stock at the beginning of a part of a ledger. Whoever was the first to check out had looked at the shelves before, so that at
  least one shopper was told what was there before anything was taken.
  """
  @spec opening(Ledger.t()) :: %{Shop.sku() => non_neg_integer()}
  def opening(part) do
    first_taken =
      part.entries |> Enum.filter(&checkout?/1) |> Enum.map(& &1.asked_at) |> Enum.min(fn -> part.until end)

    case Enum.find(part.entries, &(&1.step == :products and &1.answered_at <= first_taken)) do
      nil -> %{}
      look -> Entry.units(look)
    end
  end

  @doc "The checkouts of a ledger that took goods, with what they took, in the order in which they were asked."
  @spec takings(Ledger.t()) :: [taking()]
  def takings(ledger) do
    ledger
    |> Ledger.by_cart()
    |> Enum.flat_map(fn {_cart, entries} -> of_cart(entries) end)
    |> Enum.sort_by(& &1.entry.asked_at)
  end

  @doc "The checkouts that took a product and had been asked and not answered at an instant; of one cart, where it is named."
  @spec at([taking()], Shop.sku(), integer(), Shop.cart_id() | nil) :: [Entry.t()]
  def at(takings, sku, at, cart \\ nil) do
    for %{entry: entry, lines: %{^sku => _units}} <- takings,
        at in entry.asked_at..entry.answered_at and cart in [nil, entry.cart],
        do: entry
  end

  @doc "Units sold in a ledger, by product."
  @spec sold(Ledger.t()) :: %{Shop.sku() => pos_integer()}
  def sold(ledger) do
    for %{entry: %Entry{status: 201}, lines: lines} <- takings(ledger), reduce: %{} do
      sold -> Map.merge(sold, lines, fn _sku, a, b -> a + b end)
    end
  end

  defp of_cart(entries) do
    {takings, _lines} =
      Enum.flat_map_reduce(entries, nil, fn entry, lines ->
        taken =
          if checkout?(entry) and entry.status in [201, 402],
            do: [%{entry: entry, lines: lines || %{}}],
            else: []

        {taken, Moment.lines(entry, lines)}
      end)

    takings
  end

  defp checkout?(entry), do: Entry.route(entry.step) == :check_out
end
