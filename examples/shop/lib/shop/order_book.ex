defmodule Shop.OrderBook do
  @moduledoc """
  All orders, in a Mnesia table.

  The process only makes the tables when the shop opens; reading and writing happens in the caller.
  """

  use GenServer

  alias Shop.Order

  @orders :shop_orders
  @counters :shop_counters

  @doc false
  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @doc "Writes a paid order into the book."
  @spec place(Shop.cart_id(), Shop.lines(), pos_integer(), String.t()) :: Order.t()
  def place(cart, lines, cents, postcode) do
    id = :mnesia.dirty_update_counter(@counters, :order, 1)
    order = %Order{id: id, cart: cart, lines: lines, cents: cents, postcode: postcode}
    :ok = transaction(fn -> write(order) end)
    order
  end

  @doc "The order with this id."
  @spec fetch(Order.id()) :: {:ok, Order.t()} | {:error, :no_such_order}
  def fetch(id) do
    case :mnesia.dirty_read(@orders, id) do
      [{@orders, ^id, _status, order}] -> {:ok, order}
      [] -> {:error, :no_such_order}
    end
  end

  @doc "The orders with this status, oldest first."
  @spec with_status(Order.status()) :: [Order.t()]
  def with_status(status) do
    @orders
    |> :mnesia.dirty_index_read(status, :status)
    |> Enum.map(fn {@orders, _id, _status, order} -> order end)
    |> Enum.sort_by(& &1.id)
  end

  @doc "Moves an order from one status to the next; one of several callers succeeds."
  @spec move(Order.id(), Order.status(), Order.status()) :: {:ok, Order.t()} | {:error, :moved}
  def move(id, from, to) do
    transaction(fn ->
      case :mnesia.read(@orders, id, :write) do
        [{@orders, ^id, ^from, order}] ->
          order = %{order | status: to}
          write(order)
          {:ok, order}

        _other ->
          {:error, :moved}
      end
    end)
  end

  defp write(order), do: :mnesia.write({@orders, order.id, order.status, order})

  defp transaction(work) do
    {:atomic, result} = :mnesia.transaction(work)
    result
  end

  @impl true
  def init(_opts) do
    create(@orders, attributes: [:id, :status, :order], index: [:status])
    create(@counters, attributes: [:name, :value])
    :ok = :mnesia.wait_for_tables([@orders, @counters], :timer.seconds(5))

    # Two first updates at once of a counter that is not there would both make it, and give out the same number.
    if :mnesia.dirty_read(@counters, :order) == [], do: :mnesia.dirty_write({@counters, :order, 0})
    {:ok, nil}
  end

  defp create(table, opts) do
    case :mnesia.create_table(table, [{:ram_copies, [node()]} | opts]) do
      {:atomic, :ok} -> :ok
      {:aborted, {:already_exists, ^table}} -> :ok
    end
  end
end
