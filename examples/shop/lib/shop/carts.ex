defmodule Shop.Carts do
  @moduledoc "All open carts: their names and the supervisor of their processes."

  use Supervisor

  @supervisor Shop.Carts.Supervisor

  @doc false
  def start_link(_opts), do: Supervisor.start_link(__MODULE__, [], name: __MODULE__)

  @doc "Opens an empty cart and gives its name."
  @spec open() :: Shop.cart_id()
  def open do
    id = "cart-#{System.unique_integer([:positive, :monotonic])}"
    {:ok, _pid} = DynamicSupervisor.start_child(@supervisor, {Shop.Cart, id})
    id
  end

  @impl true
  def init(_opts) do
    Supervisor.init([Shop.Carts.Names, {DynamicSupervisor, name: @supervisor}], strategy: :one_for_all)
  end
end
