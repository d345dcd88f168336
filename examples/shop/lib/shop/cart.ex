defmodule Shop.Cart do
  @moduledoc "One shopper's cart: a process that ends when it has been paid for, or left alone for too long."

  use GenServer, restart: :temporary

  alias Shop.Carts.Names
  alias Shop.Catalogue

  @idle_ms :timer.minutes(30)

  @doc false
  def start_link(id), do: GenServer.start_link(__MODULE__, id, name: Names.via(id))

  @doc "Puts units of a product in."
  def add(id, sku, units) do
    if Catalogue.known?(sku), do: call(id, {:add, sku, units}), else: {:error, :no_such_product}
  end

  @doc "Takes all units of a product out."
  def remove(id, sku), do: call(id, {:remove, sku})

  @doc "What is in it."
  def view(id), do: call(id, :view)

  @doc "Ends the cart; its content has become an order."
  def close(id), do: call(id, :close)

  # A cart that is just ending has its name for a moment longer.
  defp call(id, request) do
    with {:ok, pid} <- Names.whereis(id), do: GenServer.call(pid, request)
  catch
    :exit, {reason, _call} when reason in [:noproc, :normal] -> {:error, :no_such_cart}
  end

  @impl true
  def init(id), do: {:ok, %{id: id, lines: %{}}, @idle_ms}

  @impl true
  def handle_call({:add, sku, units}, _from, cart) do
    lines = Map.update(cart.lines, sku, units, &(&1 + units))
    {:reply, {:ok, lines}, %{cart | lines: lines}, @idle_ms}
  end

  def handle_call({:remove, sku}, _from, cart) do
    lines = Map.delete(cart.lines, sku)
    {:reply, {:ok, lines}, %{cart | lines: lines}, @idle_ms}
  end

  def handle_call(:view, _from, cart), do: {:reply, {:ok, cart.lines}, cart, @idle_ms}

  def handle_call(:close, _from, cart), do: {:stop, :normal, :ok, cart}

  @impl true
  def handle_info(:timeout, cart), do: {:stop, :normal, cart}
end
