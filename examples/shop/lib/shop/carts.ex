defmodule Shop.Carts do
  @moduledoc "All open carts: a registry of their names and the supervisor of their processes."

  use Supervisor

  @registry Shop.Carts.Registry
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

  @doc "The process of an open cart."
  @spec whereis(Shop.cart_id()) :: {:ok, pid()} | {:error, :no_such_cart}
  def whereis(id) do
    case Registry.lookup(@registry, id) do
      [{pid, _value}] -> {:ok, pid}
      [] -> {:error, :no_such_cart}
    end
  end

  @doc false
  def name(id), do: {:via, Registry, {@registry, id}}

  @impl true
  def init(_opts) do
    children = [
      {Registry, keys: :unique, name: @registry},
      {DynamicSupervisor, name: @supervisor}
    ]

    Supervisor.init(children, strategy: :one_for_all)
  end
end
