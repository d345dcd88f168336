defmodule Shop.Inventory do
  @moduledoc "What is on the shelves: one process, so that the last lamp is sold once."

  use GenServer

  alias Shop.Catalogue
  require ElixirScope.Trace, as: Trace

  @low 20

  @doc false
  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @doc "Units in stock, by product."
  @spec stock() :: %{Shop.sku() => non_neg_integer()}
  def stock, do: GenServer.call(__MODULE__, :stock)

  @doc "Takes all these lines off the shelves, or nothing."
  @spec take(Shop.lines()) :: :ok | {:error, {:out_of_stock, Shop.sku()}}
  def take(lines), do: GenServer.call(__MODULE__, {:take, lines})

  @doc "Puts lines back that were taken and not sold."
  @spec put_back(Shop.lines()) :: :ok
  def put_back(lines), do: GenServer.call(__MODULE__, {:put_back, lines})

  @impl true
  def init(_opts) do
    {:ok, Map.new(Catalogue.products(), fn {sku, product} -> {sku, product.stock} end)}
  end

  @impl true
  def handle_call(:stock, _from, stock), do: {:reply, stock, stock}

  def handle_call({:take, lines}, _from, stock) do
    case Enum.find(lines, fn {sku, units} -> stock[sku] < units end) do
      nil -> {:reply, :ok, stock |> change(lines, -1) |> restock(lines)}
      {sku, _units} -> {:reply, {:error, {:out_of_stock, sku}}, stock}
    end
  end

  def handle_call({:put_back, lines}, _from, stock), do: {:reply, :ok, change(stock, lines, +1)}

  defp change(stock, lines, sign) do
    Enum.reduce(lines, stock, fn {sku, units}, stock ->
      Map.update!(stock, sku, &(&1 + sign * units))
    end)
  end

  defp restock(stock, lines) do
    for {sku, _units} <- lines, stock[sku] < @low, reduce: stock do
      stock -> deliver(stock, sku, Catalogue.products()[sku].delivery)
    end
  end

  defp deliver(stock, _sku, 0), do: stock

  defp deliver(stock, sku, units) do
    Trace.metric("inventory.low", stock[sku], unit: :count, metadata: %{sku: sku, delivered: units})
    Map.update!(stock, sku, &(&1 + units))
  end
end
