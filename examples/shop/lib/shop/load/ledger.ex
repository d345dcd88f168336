defmodule Shop.Load.Ledger do
  @moduledoc "All that the shoppers did, with the time in which they did it, on the tape's clock."

  alias Shop.Load.{Entry, Plan}
  alias Shop.Tape

  @enforce_keys [:entries, :since, :until]
  defstruct [:entries, :since, :until, parts: []]

  @typedoc "The parts of a ledger that was bound: between them the shop was at rest."
  @type t :: %__MODULE__{entries: [Entry.t()], since: integer(), until: integer(), parts: [t()]}

  @doc "Runs `play`, which returns entries, and keeps the time."
  @spec keep(fun()) :: t()
  def keep(play) do
    since = Tape.now()
    entries = play.()
    %__MODULE__{entries: entries, since: since, until: Tape.now()}
  end

  @doc "Several ledgers, one after the other, as one."
  @spec bind([t(), ...]) :: t()
  def bind(ledgers) do
    entries = Enum.flat_map(ledgers, & &1.entries)
    %__MODULE__{entries: entries, since: hd(ledgers).since, until: List.last(ledgers).until, parts: ledgers}
  end

  @doc """
  What of the ledger the tape still holds whole, when its oldest event is of this time: the last parts of it, or an empty
  ledger.
  """
  @spec held(t(), oldest :: integer()) :: t()
  def held(%__MODULE__{parts: []} = ledger, oldest) when ledger.since >= oldest, do: ledger

  def held(%__MODULE__{} = ledger, oldest) do
    case Enum.drop_while(ledger.parts, &(&1.since < oldest)) do
      [] -> %__MODULE__{entries: [], since: ledger.until, until: ledger.until}
      parts -> bind(parts)
    end
  end

  @doc "Its parts; a ledger that was not bound is one."
  @spec parts(t()) :: [t()]
  def parts(%__MODULE__{parts: []} = ledger), do: [ledger]
  def parts(%__MODULE__{parts: parts}), do: parts

  @doc "How long it took, in nanoseconds."
  @spec duration_ns(t()) :: non_neg_integer()
  def duration_ns(ledger), do: ledger.until - ledger.since

  @doc "The time that it covers, as options of a query."
  @spec window(t()) :: keyword()
  def window(ledger), do: [since: ledger.since, until: ledger.until]

  @doc "How many requests took each route."
  @spec routes(t()) :: %{atom() => pos_integer()}
  def routes(ledger), do: Enum.frequencies_by(ledger.entries, &Entry.route(&1.step))

  @doc "How many requests were answered with each status."
  @spec statuses(t()) :: %{pos_integer() => pos_integer()}
  def statuses(ledger), do: Enum.frequencies_by(ledger.entries, & &1.status)

  @doc "The requests of each cart, in order."
  @spec by_cart(t()) :: %{Shop.cart_id() => [Entry.t()]}
  def by_cart(ledger), do: ledger.entries |> Enum.filter(& &1.cart) |> Enum.group_by(& &1.cart)

  @doc "The checkouts that became orders."
  @spec orders(t()) :: [Entry.t()]
  def orders(ledger),
    do: for(%Entry{answer: %{"order" => _}, status: 201} = entry <- ledger.entries, do: entry)

  @doc "The orders that must have crashed the dispatcher, by their ids."
  @spec crashers(t()) :: [Shop.Order.id()]
  def crashers(ledger) do
    bad = Plan.bad_postcode()
    for %Entry{step: {:check_out, _card, ^bad}} = entry <- orders(ledger), do: order_id(entry)
  end

  @doc "The products that orders were refused for because there were not enough of them, and how often."
  @spec out_of_stock(t()) :: %{Shop.sku() => pos_integer()}
  def out_of_stock(ledger) do
    Enum.frequencies(for %Entry{status: 409, answer: %{"sku" => sku}} <- ledger.entries, do: sku)
  end

  @doc "The order that a checkout became."
  @spec order_id(Entry.t()) :: Shop.Order.id()
  def order_id(%Entry{answer: %{"order" => id}}), do: String.to_integer(id)

  @doc "Every card number that went over the wire."
  @spec card_numbers(t()) :: [String.t()]
  def card_numbers(ledger) do
    Enum.uniq(for %Entry{step: {:check_out, card, _postcode}} <- ledger.entries, do: card)
  end
end
