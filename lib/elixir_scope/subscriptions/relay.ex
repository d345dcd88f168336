defmodule ElixirScope.Subscriptions.Relay do
  @moduledoc false

  # Sends the events of one subscription to its subscriber, only while that one's mailbox is short; meanwhile the native
  # queue holds what it can, and counts what it drops. Ends with its subscriber.
  #
  # A relay that takes the place of a crashed one counts the events that were recorded in between, and tells them as dropped.

  use GenServer, restart: :transient

  alias ElixirScope.{Muted, Native}
  alias ElixirScope.Subscriptions.Table

  # Events that the native queue holds, messages that a subscriber may have waiting, and events taken at once.
  @capacity 8_192
  @mailbox 512
  @batch 64

  # How soon the mailbox of a slow subscriber is looked at again.
  @look_again_ms 10

  @spec start_link(Table.subscription()) :: GenServer.on_start()
  def start_link(subscription), do: GenServer.start_link(__MODULE__, subscription)

  @impl true
  def init(%{ref: ref, subscriber: subscriber, query: query} = subscription) do
    Muted.forever()
    Process.flag(:trap_exit, true)
    Process.monitor(subscriber)

    left = Table.left(ref)
    with {_last_id, queue} <- left, do: Native.subscription_close(queue)

    case Native.subscribe(query, self(), subscriber, @capacity) do
      {:ok, id} ->
        state = %{ref: ref, subscriber: subscriber, id: id, skip: 0, waiting: false}
        {:ok, resume_after(left, state, subscription)}

      {:error, reason} ->
        Table.forget(ref)
        # A subscription that cannot go on after a crash ends; a new one tells its caller why it cannot begin.
        if left, do: :ignore, else: {:stop, {:shutdown, reason}}
    end
  end

  @impl true
  def handle_info({:elixir_scope_subscription, id}, %{id: id, waiting: false} = state), do: deliver(state)
  def handle_info({:elixir_scope_subscription, _id}, state), do: {:noreply, state}
  def handle_info(:look_again, state), do: deliver(%{state | waiting: false})

  def handle_info({:DOWN, _monitor, :process, pid, _}, %{subscriber: pid} = state),
    do: {:stop, :normal, state}

  def handle_info(_other, state), do: {:noreply, state}

  @impl true
  def terminate(reason, %{ref: ref, id: id}) do
    Native.subscription_close(id)
    if reason in [:normal, :shutdown], do: Table.forget(ref)
  end

  # -- Delivery ---------------------------------------------------------------------------------------------------------

  defp deliver(%{subscriber: subscriber} = state) do
    case Process.info(subscriber, :message_queue_len) do
      {:message_queue_len, waiting} when waiting < @mailbox -> take(state, min(@mailbox - waiting, @batch))
      {:message_queue_len, _long} -> {:noreply, look_again(state, @look_again_ms)}
      nil -> {:stop, :normal, state}
    end
  end

  defp take(%{id: id} = state, max) do
    case Native.subscription_take(id, max) do
      {:error, :closed} ->
        {:stop, :normal, state}

      {events, dropped} ->
        Enum.each(events, &send_event(&1, state))
        tell_dropped(state, dropped)
        if events != [], do: Table.sent(state.ref, List.last(events).id)

        # The native side tells of the next event only after a take that emptied the queue.
        if length(events) == max, do: {:noreply, look_again(state, 0)}, else: {:noreply, state}
    end
  end

  defp send_event(%{id: id}, %{skip: skip}) when id <= skip, do: :ok
  defp send_event(event, %{subscriber: subscriber}), do: send(subscriber, {:elixir_scope_event, event})

  defp look_again(state, after_ms) do
    Process.send_after(self(), :look_again, after_ms)
    %{state | waiting: true}
  end

  # The first relay begins with what comes from now on.
  defp resume_after(nil, state, subscription) do
    Table.register(subscription, self(), newest_id(state, subscription), state.id)
    state
  end

  # What was recorded up to here and not sent is told as dropped, also where the new queue holds it already.
  defp resume_after({last_id, _queue}, state, subscription) do
    newest = max(newest_id(state, subscription), last_id)
    Table.register(subscription, self(), newest, state.id)
    missed = Map.merge(asked(state, subscription), %{after: last_id, before: newest + 1})
    tell_dropped(state, Native.count_events(missed))
    %{state | skip: newest}
  end

  defp asked(%{subscriber: subscriber}, %{query: query}) do
    Map.merge(query, %{exclude: subscriber, payload: false})
  end

  defp newest_id(state, subscription) do
    case Native.get_events(Map.put(asked(state, subscription), :limit, 1)) do
      [%{id: id}] -> id
      _none -> 0
    end
  end

  defp tell_dropped(%{subscriber: subscriber}, count) when is_integer(count) and count > 0 do
    send(subscriber, {:elixir_scope_dropped, count})
  end

  defp tell_dropped(_state, _nothing), do: :ok
end
