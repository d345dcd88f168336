defmodule Shop.Carts.Names do
  @moduledoc "Which process is which cart."

  @doc false
  def child_spec(_opts), do: Registry.child_spec(keys: :unique, name: __MODULE__)

  @doc "The process of an open cart."
  @spec whereis(Shop.cart_id()) :: {:ok, pid()} | {:error, :no_such_cart}
  def whereis(id) do
    case Registry.lookup(__MODULE__, id) do
      [{pid, _value}] -> {:ok, pid}
      [] -> {:error, :no_such_cart}
    end
  end

  @doc "The name under which a cart's process registers."
  @spec via(Shop.cart_id()) :: GenServer.name()
  def via(id), do: {:via, Registry, {__MODULE__, id}}
end
