defmodule Shop.Audit.Causes do
  @moduledoc """
  What a process did for another one goes back to the right request.

  The tape names a causal root of each event. Here that is held against what the program itself tells: the cart in a request's path
  is the one that was asked, the order that a checkout placed is the one that was sent out.
  """

  alias Shop.Tape
  alias Shop.Audit.{Carts, Check}
  alias Shop.Load.{Entry, Ledger}

  @doc false
  def checks(ledger) do
    window = Ledger.window(ledger)
    paths = Map.new(Tape.ends(Shop.Web.Request, :new, window), &{&1.correlation_id, &1.result.path})
    placed = Map.new(Tape.ends(Shop.OrderBook, :place, window), &{&1.correlation_id, &1.result.id})
    sent = Tape.all([event_type: :message_send] ++ window)

    [
      Check.new("calls of carts, each for the request to it", asked(ledger), of_carts(paths, window)),
      Check.new("stock taken or put back, each for a checkout", goods(ledger), of_checkouts(paths, window)),
      Check.new(
        "orders sent to the dispatcher, each by its checkout",
        map_size(placed),
        sent_out(sent, placed)
      ),
      handled_orders(placed, window),
      Check.new("calls between processes, each handled", calls(sent), handled_calls(window)),
      Check.new("events of uncertain cause", 0, Tape.count([correlation_id: :ambiguous] ++ window))
    ]
  end

  defp asked(ledger) do
    ledger.entries |> Enum.flat_map(&Carts.asked/1) |> Enum.count(&(&1 != :opened))
  end

  defp of_carts(paths, window) do
    Enum.count(Tape.calls(Shop.Cart, :handle_call, window), fn %{args: [_request, _from, cart]} = entry ->
      cart_id = cart.id
      match?(["carts", ^cart_id | _more], paths[entry.correlation_id])
    end)
  end

  defp goods(ledger) do
    ledger.entries
    |> Enum.map(fn
      %Entry{step: {:check_out, _card, _postcode}, status: 402} -> 2
      %Entry{step: {:check_out, _card, _postcode}} -> 1
      _other -> 0
    end)
    |> Enum.sum()
  end

  defp of_checkouts(paths, window) do
    Enum.count(Tape.calls(Shop.Inventory, :handle_call, window), fn %{args: [request | _more]} = entry ->
      is_tuple(request) and match?(["carts", _cart, "checkout"], paths[entry.correlation_id])
    end)
  end

  defp sent_out(sent, placed) do
    Enum.count(sent, fn send ->
      match?(%{send_type: :cast, message: {:send_out, _id}}, send) and
        send.message == {:send_out, placed[send.correlation_id]}
    end)
  end

  # What waits for a dispatcher that crashes is lost; the next one finds it in the book.
  defp handled_orders(placed, window) do
    handled = Tape.calls(Shop.Dispatcher, :handle_cast, window)

    right =
      Enum.count(handled, fn %{args: [{:send_out, id}, _state]} = entry ->
        placed[entry.correlation_id] == id
      end)

    Check.new("orders that the dispatcher took, each from its checkout", length(handled), right)
  end

  defp calls(sent), do: Enum.count(sent, &(&1.send_type == :call))

  defp handled_calls(window),
    do: Tape.count([event_type: :function_entry, function: :handle_call] ++ window)
end
