defmodule Shop.Load.Shopper do
  @moduledoc "Walks through its journeys, one after the other, on one connection, and writes down each answer."

  alias Shop.Load.{Client, Entry, Plan}
  alias Shop.Tape

  @doc "Plays journeys; the entries are in the order of the requests."
  @spec play([Plan.journey()], :inet.port_number(), fun()) :: [Entry.t()]
  def play(journeys, port, on_answer) do
    socket = Client.connect(port)
    entries = Enum.flat_map(journeys, &journey(&1, socket, on_answer))
    :gen_tcp.close(socket)
    entries
  end

  defp journey(steps, socket, on_answer) do
    {entries, _memory} =
      Enum.map_reduce(steps, %{cart: nil, order: nil}, fn step, memory ->
        entry = step(step, memory, socket)
        on_answer.()
        {entry, remember(memory, entry)}
      end)

    entries
  end

  defp step(step, memory, socket) do
    {method, path, params} = request(step, memory)
    asked_at = instant()
    began = System.monotonic_time()
    {status, answer} = Client.request(socket, method, path, params)
    ended = System.monotonic_time()

    %Entry{
      step: step,
      cart: memory.cart || answer["cart"],
      status: status,
      answer: answer,
      asked_at: asked_at,
      answered_at: instant(),
      duration_ns: System.convert_time_unit(ended - began, :native, :nanosecond)
    }
  end

  # A load that nobody records is played as well.
  defp instant, do: if(ElixirScope.running?(), do: Tape.now())

  defp remember(memory, %Entry{status: 201, answer: %{"cart" => cart}}), do: %{memory | cart: cart}
  defp remember(memory, %Entry{status: 201, answer: %{"order" => order}}), do: %{memory | order: order}
  defp remember(memory, _entry), do: memory

  defp request(:products, _memory), do: {"GET", "/products", []}
  defp request(:open_cart, _memory), do: {"POST", "/carts", []}
  defp request(:view_cart, %{cart: cart}), do: {"GET", "/carts/#{cart}", []}

  defp request({:add_item, sku, units}, %{cart: cart}),
    do: {"POST", "/carts/#{cart}/items", [sku: sku, units: units]}

  defp request({:remove_item, sku}, %{cart: cart}), do: {"DELETE", "/carts/#{cart}/items/#{sku}", []}

  defp request({:check_out, card, postcode}, %{cart: cart}),
    do: {"POST", "/carts/#{cart}/checkout", [card_number: card, cvv: "737", postcode: postcode]}

  # Without an order, the shopper asks for one that does not exist.
  defp request(:order, %{order: order}), do: {"GET", "/orders/#{order || "none"}", []}
end
