defmodule Shop.Load.Moment do
  @moduledoc """
  An instant at which a shopper knows what is in its cart: just before and just after its requests, and halfway between them.

  A shopper knows what it was told. Before the cart was opened there was none; a paid cart held until its end what was paid for.
  """

  alias Shop.Load.Entry

  @enforce_keys [:at, :entry, :lines]
  defstruct [:at, :entry, :lines]

  @typedoc "`entry` is the request that was answered last, nil before the first; `lines` are nil where there was no cart."
  @type t :: %__MODULE__{at: integer(), entry: Entry.t() | nil, lines: Shop.lines() | nil}

  @doc "The moments of one cart, from the requests of its shopper to it, in their order."
  @spec of_cart([Entry.t()]) :: [t()]
  def of_cart([opened | _more] = entries) do
    before = %__MODULE__{at: opened.asked_at, entry: nil, lines: nil}
    {after_each, _lines} = Enum.map_reduce(entries, nil, &moment/2)
    [before | between(after_each, tl(entries))]
  end

  @doc "Only those just before the first request, and just after each."
  @spec at_requests([Entry.t()]) :: [t()]
  def at_requests(entries),
    do: Enum.filter(of_cart(entries), &(&1.entry == nil or &1.at == &1.entry.answered_at))

  @doc "What a shopper knows to be in its cart after a request, when it knew `lines` before: only some answers tell it anew."
  @spec lines(Entry.t(), Shop.lines() | nil) :: Shop.lines() | nil
  def lines(%Entry{step: :open_cart, status: 201}, _lines), do: %{}
  def lines(%Entry{step: :view_cart} = entry, lines), do: told(entry, lines)
  def lines(%Entry{step: {:add_item, _sku, _units}} = entry, lines), do: told(entry, lines)
  def lines(%Entry{step: {:remove_item, _sku}} = entry, lines), do: told(entry, lines)
  def lines(%Entry{}, lines), do: lines

  defp told(%Entry{status: 200} = entry, _lines), do: Entry.units(entry)
  defp told(_refused, lines), do: lines

  defp moment(entry, lines) do
    lines = lines(entry, lines)
    {%__MODULE__{at: entry.answered_at, entry: entry, lines: lines}, lines}
  end

  defp between([last], []), do: [last]

  defp between([moment | moments], [next | entries]) do
    halfway = %{moment | at: div(moment.at + next.asked_at, 2)}
    [moment, halfway, %{moment | at: next.asked_at} | between(moments, entries)]
  end
end
