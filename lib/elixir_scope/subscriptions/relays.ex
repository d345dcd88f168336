defmodule ElixirScope.Subscriptions.Relays do
  @moduledoc false

  # One relay to a subscription.

  use DynamicSupervisor

  alias ElixirScope.{Muted, Patience}
  alias ElixirScope.Subscriptions.{Relay, Table}

  @spec start_link(term) :: Supervisor.on_start()
  def start_link(_arg) do
    Patience.start(fn -> DynamicSupervisor.start_link(__MODULE__, nil, name: __MODULE__) end)
  end

  @doc "Starts the relay of a subscription; answers its reference."
  @spec start_relay(Table.subscription()) :: {:ok, reference} | {:error, term}
  def start_relay(%{ref: ref} = subscription) do
    case Patience.call(fn -> DynamicSupervisor.start_child(__MODULE__, {Relay, subscription}) end) do
      {:ok, _relay} -> {:ok, ref}
      {:error, {:shutdown, reason}} -> {:error, reason}
      {:error, reason} -> {:error, reason}
      :ignore -> {:error, :not_running}
    end
  end

  @spec stop_relay(pid) :: :ok
  def stop_relay(relay) do
    # It may have stopped by itself in between.
    _ = Patience.call(fn -> DynamicSupervisor.terminate_child(__MODULE__, relay) end)
    :ok
  end

  @impl true
  def init(nil) do
    Muted.forever()
    DynamicSupervisor.init(strategy: :one_for_one, max_restarts: 1_000, max_seconds: 1)
  end
end
