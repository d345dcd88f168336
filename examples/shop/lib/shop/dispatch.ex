defmodule Shop.Dispatch do
  @moduledoc "Sends paid orders out: the dispatcher, and the supervisor that starts it again each time it crashes."

  use Supervisor

  alias Shop.{Dispatcher, OrderBook}

  @doc false
  def start_link(_opts), do: Supervisor.start_link(__MODULE__, [], name: __MODULE__)

  @doc "Tells the dispatcher of a new order. If it is just being restarted, it finds the order in the book."
  @spec send_out(Shop.Order.id()) :: :ok
  def send_out(order_id), do: GenServer.cast(Dispatcher, {:send_out, order_id})

  @doc "Waits until no order is left to be sent out, and the dispatcher has put the last one out of its hands."
  @spec settle(timeout_ms :: pos_integer()) :: :ok | {:error, :timeout}
  def settle(timeout_ms \\ 10_000) do
    cond do
      OrderBook.with_status(:paid) == [] and OrderBook.with_status(:packing) == [] ->
        Dispatcher.catch_up()

      timeout_ms <= 0 ->
        {:error, :timeout}

      true ->
        Process.sleep(5)
        settle(timeout_ms - 5)
    end
  end

  @impl true
  def init(_opts) do
    Supervisor.init([Dispatcher], strategy: :one_for_one, max_restarts: 100, max_seconds: 1)
  end
end
