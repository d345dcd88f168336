defmodule ElixirScope.Subscriptions.Table do
  @moduledoc false

  # What outlives a relay: rows `{ref, relay, id of the last event sent, subscription}`. The table belongs to our topmost
  # supervisor.

  @table __MODULE__

  @type subscription :: %{ref: reference, subscriber: pid, query: map}

  @spec create() :: :ok
  def create do
    @table = :ets.new(@table, [:named_table, :public])
    :ok
  end

  @doc "Notes the relay of a subscription; answers the last event that one before it sent, `nil` where there was none."
  @spec register(subscription, pid) :: nil | non_neg_integer
  def register(%{ref: ref} = subscription, relay) do
    last_id =
      case :ets.lookup(@table, ref) do
        [] -> nil
        [{^ref, _dead, last_id, _subscription}] -> last_id
      end

    :ets.insert(@table, {ref, relay, last_id || 0, subscription})
    last_id
  end

  @doc "Notes the last event that was sent."
  @spec sent(reference, non_neg_integer) :: boolean
  def sent(ref, last_id), do: :ets.update_element(@table, ref, {3, last_id})

  @spec forget(reference) :: :ok
  def forget(ref) do
    :ets.delete(@table, ref)
    :ok
  end

  @doc "The process that relays a subscription."
  @spec relay(reference) :: pid | nil
  def relay(ref) do
    case :ets.lookup(@table, ref) do
      [{^ref, relay, _last_id, _subscription}] -> relay
      [] -> nil
    end
  end

  @spec rows() :: [{reference, pid, non_neg_integer, subscription}]
  def rows, do: :ets.tab2list(@table)
end
