defmodule ElixirScope.Subscriptions do
  @moduledoc false

  # Events as they happen. The native library keeps a bounded queue for each subscription; one relay process takes events out
  # of it and sends them on, but only while its subscriber keeps up.

  alias ElixirScope.{Error, Muted, Native, Query}
  alias ElixirScope.Subscriptions.{Relays, Table}

  @without [:limit, :order, :before, :after]

  # What becomes of a message.
  @later [:received_at, :handled_at, :queue_time_ns]

  @doc "The options of a subscription in Markdown."
  @spec docs() :: String.t()
  def docs, do: Query.Options.docs(@without)

  @spec subscribe(term) :: {:ok, reference} | Query.error()
  def subscribe(opts) do
    subscriber = self()

    Query.ask(opts, @without, "ElixirScope.subscribe_to_events/1", fn query ->
      with :ok <- known_by_then(query[:where] || []) do
        query = Map.merge(query, %{limit: :infinity, order: :asc})
        Relays.start_relay(%{ref: make_ref(), subscriber: subscriber, query: query})
      end
    end)
  end

  # A condition that can never hold is a mistake rather than silence.
  defp known_by_then(conditions) do
    case Enum.find(conditions, &match?({[field | _rest], _op, _value} when field in @later, &1)) do
      nil ->
        :ok

      {[field | _rest], _op, _value} = condition ->
        Error.invalid(
          :where,
          condition,
          "no condition on #{inspect(field)}, which is not known yet when a message is sent or arrives: " <>
            "ElixirScope.get_message_flow/3 and ElixirScope.get_events/1 know it later"
        )
    end
  end

  @spec unsubscribe(term) :: :ok | {:error, :not_running | Error.t()}
  def unsubscribe(ref) do
    Muted.run(fn ->
      cond do
        not Native.running() -> {:error, :not_running}
        is_reference(ref) -> close(ref)
        true -> Error.invalid(:ref, ref, "a reference that ElixirScope.subscribe_to_events/1 answered")
      end
    end)
  end

  @doc "Ends all subscriptions."
  @spec close_all() :: :ok
  def close_all do
    for {ref, _relay, _last_id, _queue, _subscription} <- Table.rows(), do: close(ref)
    :ok
  end

  defp close(ref) do
    # The row goes first, so that a relay that crashes meanwhile does not come back.
    relay = Table.relay(ref)
    Table.forget(ref)
    if relay, do: Relays.stop_relay(relay)
    :ok
  end

  @doc "Starts the relays of all subscriptions in the table; there are some when their supervisor has crashed."
  @spec restore() :: :ignore
  def restore do
    for {_ref, _dead, _last_id, _queue, subscription} <- Table.rows(), do: Relays.start_relay(subscription)
    :ignore
  end
end
