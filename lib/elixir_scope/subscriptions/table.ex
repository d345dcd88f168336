defmodule ElixirScope.Subscriptions.Table do
  @moduledoc false

  # What outlives a relay. The table belongs to our topmost supervisor. Rows are
  # `{ref, relay, id of the last event sent, native id of the queue, subscription}`.

  @table __MODULE__

  @type subscription :: %{ref: reference, subscriber: pid, query: map}

  @spec create() :: :ok
  def create do
    @table = :ets.new(@table, [:named_table, :public])
    :ok
  end

  @doc "What the relay before this one has left: the last event that it sent, and its queue. `nil` for the first relay."
  @spec left(reference) :: nil | {last_id :: non_neg_integer, queue :: integer}
  def left(ref) do
    case :ets.lookup(@table, ref) do
      [{^ref, _dead, last_id, queue, _subscription}] -> {last_id, queue}
      [] -> nil
    end
  end

  @doc "Notes the relay of a subscription."
  @spec register(subscription, pid, non_neg_integer, integer) :: true
  def register(%{ref: ref} = subscription, relay, last_id, queue) do
    :ets.insert(@table, {ref, relay, last_id, queue, subscription})
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
      [{^ref, relay, _last_id, _queue, _subscription}] -> relay
      [] -> nil
    end
  end

  @spec rows() :: [{reference, pid, non_neg_integer, integer, subscription}]
  def rows, do: :ets.tab2list(@table)
end
