defmodule Shop.Questions.Past do
  @moduledoc """
  Questions for the states of processes at instants that are over, of living and of dead ones.

      iex> Shop.Questions.Past.cart("cart-17") |> Shop.Print.Past.steps()
      iex> Shop.Questions.Past.last_taken(["lamp", "tea"]) |> Shop.Print.Past.takings()
      iex> Shop.Questions.crashes() |> List.last() |> Shop.Questions.Past.crashed() |> Shop.Print.Past.crashed()
  """

  alias ElixirScope.Events.{FunctionEntry, FunctionExit, StateChange}
  alias Shop.{Questions, Tape}
  alias Shop.Load.{Entry, Moment}
  alias Shop.Web.Request

  @typedoc "An instant, what the process held then, and what had changed since the instant before."
  @type view :: %{moment: Moment.t(), state: term(), diff: [map()]}

  @typedoc "Something that a request changed, and how long after it was asked."
  @type effect :: %{at: integer(), what: String.t(), diff: [map()]}

  @typedoc "The last change of a product's stock; change and request are nil where they are not on the tape, or not any more."
  @type taking :: %{
          sku: Shop.sku(),
          change: %StateChange{} | nil,
          units: {integer() | nil, integer() | nil},
          cart: Shop.cart_id() | nil,
          request: Request.t() | nil
        }

  @doc "Every state that a cart came to, with what each step changed; `[]` for a cart never seen."
  @spec cart(Shop.cart_id()) :: [%StateChange{}]
  def cart(cart_id) do
    case pid(cart_id) do
      {:ok, pid} -> Tape.history(pid)
      :error -> []
    end
  end

  @doc "What a cart held at each of these moments."
  @spec cart_at(Shop.cart_id(), [Moment.t()]) :: [view()]
  def cart_at(cart_id, moments) do
    case pid(cart_id) do
      {:ok, pid} -> Enum.zip_with([nil | moments], moments, &view(pid, &1, &2))
      :error -> []
    end
  end

  defp view(pid, before, moment) do
    state =
      case Tape.state_at(pid, moment.at) do
        {:ok, state, _quality} -> state
        {:error, reason} -> reason
      end

    %{moment: moment, state: state, diff: since(pid, before, moment)}
  end

  defp since(_pid, nil, _moment), do: []

  defp since(pid, before, moment) do
    case Tape.diff(pid, before.at, moment.at) do
      {:ok, diff} -> diff
      {:error, _none_yet} -> []
    end
  end

  defp pid(cart_id) do
    case Tape.newest(event_type: :state_change, module: Shop.Cart, where: [{[:new_state, :id], :==, cart_id}]) do
      nil -> :error
      change -> {:ok, change.pid}
    end
  end

  @doc """
  What a checkout that became an order changed on the shelves, in the order book, and in the dispatcher's state once that had the order
  in hand; and what became of the shelves between just before it was asked and just after it was answered, others' checkouts included.
  """
  @spec checkout(Entry.t()) :: [effect()]
  def checkout(%Entry{step: {:check_out, _card, _postcode}, answer: %{"order" => order}} = entry) do
    events = Questions.request_of_order(String.to_integer(order))
    while = for %StateChange{module: Shop.Inventory} = change <- events, do: while(change, entry)
    Enum.sort_by(Enum.flat_map(events, &effect/1) ++ Enum.concat(while), & &1.at)
  end

  defp while(change, entry) do
    case Tape.diff(change.pid, entry.asked_at, entry.answered_at) do
      {:ok, diff} -> [%{at: entry.answered_at, what: "shelves, since it was asked", diff: diff}]
      {:error, _reason} -> []
    end
  end

  defp effect(%StateChange{module: Shop.Inventory} = change), do: state("shelves", change)
  defp effect(%StateChange{module: Shop.Dispatcher} = change), do: state("dispatcher", change)

  # The order book's process holds nothing: what is written into it is told by its functions.
  defp effect(%FunctionExit{module: Shop.OrderBook, function: :place, result: order} = exit),
    do: [written(exit, %{path: [order.id], op: :added, new: order.status})]

  defp effect(%FunctionEntry{module: Shop.OrderBook, function: :move, args: [id, from, to]} = entry),
    do: [written(entry, %{path: [id], op: :changed, old: from, new: to})]

  defp effect(_event), do: []

  defp state(what, change) do
    case Tape.diff(change.pid, change.timestamp - 1, change.timestamp) do
      {:ok, diff} -> [%{at: change.timestamp, what: what, diff: diff}]
      {:error, _reason} -> []
    end
  end

  defp written(event, change), do: %{at: event.timestamp, what: "order book", diff: [change]}

  @doc "When the stock of each of these products last changed, and by which request; options as of `Shop.Tape.last_change/3`."
  @spec last_taken([Shop.sku()], keyword()) :: [taking()]
  def last_taken(skus, opts \\ []) do
    inventory = Process.whereis(Shop.Inventory)
    Enum.map(skus, fn sku -> taking(sku, Tape.last_change(inventory, [sku], opts)) end)
  end

  defp taking(sku, {:ok, change}) do
    request = requested(change.correlation_id)
    # The first state of all has none before it.
    units = {change.old_state && change.old_state[sku], change.new_state[sku]}
    %{sku: sku, change: change, units: units, cart: cart_of(request), request: request}
  end

  defp taking(sku, {:error, _not_told}),
    do: %{sku: sku, change: nil, units: {nil, nil}, cart: nil, request: nil}

  defp cart_of(%Request{path: ["carts", cart | _more]}), do: cart
  defp cart_of(_request), do: nil

  @doc "The HTTP request that is the causal root of what has this correlation; nil where it had to give way, or there was none."
  @spec requested(correlation_id :: pos_integer() | nil) :: Request.t() | nil
  def requested(nil), do: nil

  def requested(correlation_id) do
    case Tape.newest(
           event_type: :function_exit,
           module: Request,
           function: :new,
           correlation_id: correlation_id
         ) do
      %FunctionExit{result: request} -> request
      nil -> nil
    end
  end

  @doc "The dispatcher's state just before a crash, as `Shop.Tape.state_at/2` says it, and the last changes that led to it."
  @spec crashed(Questions.crash() | nil) :: map() | nil
  def crashed(nil), do: nil

  def crashed(crash) do
    %{
      crash: crash,
      state: Tape.state_at(crash.pid, crash.at - 1),
      history: Tape.history(crash.pid, before: crash.event_id, limit: 3)
    }
  end
end
