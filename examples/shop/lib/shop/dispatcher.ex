defmodule Shop.Dispatcher do
  @moduledoc """
  Packs one order after the other and prints its label.

  A label that cannot be printed crashes it. It loses nothing: when it starts again, the order that it had in hand is
  put aside as `:stuck`, and it goes on with what the book says is paid.
  """

  use GenServer

  alias Shop.{Label, OrderBook}

  @doc false
  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @doc "Returns when it has done all that it was told before."
  @spec catch_up() :: :ok
  def catch_up, do: GenServer.call(__MODULE__, :catch_up)

  @impl true
  def init(_opts), do: {:ok, %{packed: 0, last: nil}, {:continue, :take_up}}

  @impl true
  def handle_continue(:take_up, state) do
    stuck = OrderBook.with_status(:packing)
    waiting = OrderBook.with_status(:paid)
    Enum.each(stuck, fn order -> OrderBook.move(order.id, :packing, :stuck) end)
    {:noreply, Enum.reduce(waiting, state, &send_out(&1.id, &2))}
  end

  @impl true
  def handle_cast({:send_out, order_id}, state), do: {:noreply, send_out(order_id, state)}

  @impl true
  def handle_call(:catch_up, _from, state), do: {:reply, :ok, state}

  defp send_out(order_id, state) do
    case OrderBook.move(order_id, :paid, :packing) do
      {:ok, order} -> pack(order, state)
      {:error, :moved} -> state
    end
  end

  defp pack(order, state) do
    Label.print(order)
    {:ok, _order} = OrderBook.move(order.id, :packing, :dispatched)
    %{state | packed: state.packed + 1, last: order.id}
  end
end
