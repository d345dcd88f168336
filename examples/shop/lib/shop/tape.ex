defmodule Shop.Tape do
  @moduledoc "Reading the tape, with the few turns that every question here needs."

  alias ElixirScope.Events.Span

  @page 2_000
  @nobody_id 0

  @doc "This instant on the tape's clock."
  @spec now() :: integer()
  def now, do: answer!(ElixirScope.now())

  @doc "How the recorder is."
  @spec status() :: map()
  def status, do: answer!(ElixirScope.status())

  @doc "All matching events, oldest first."
  @spec all(keyword()) :: [struct()]
  def all(opts \\ []), do: read(Keyword.put(opts, :limit, :infinity))

  @doc "At most `limit` of the newest matching events, or what `opts` say otherwise."
  @spec read(keyword()) :: [struct()]
  def read(opts), do: answer!(ElixirScope.get_events(opts))

  @doc "How many events match."
  @spec count(keyword()) :: non_neg_integer()
  def count(opts \\ []), do: answer!(ElixirScope.count_events(opts))

  @doc "The same as `all/1`, a page at a time, however long the tape is."
  @spec stream(keyword()) :: Enumerable.t()
  def stream(opts \\ []) do
    Stream.unfold(@nobody_id, fn last_id ->
      case read([after: last_id, limit: @page] ++ opts) do
        [] -> nil
        events -> {events, List.last(events).id}
      end
    end)
    |> Stream.flat_map(& &1)
  end

  @doc "Spans with this name that have ended."
  @spec ended_spans(String.t(), keyword()) :: [%Span{}]
  def ended_spans(name, opts \\ []), do: all(named(:span_stop, name, opts))

  @doc "Spans with this name, as they began; they carry the metadata."
  @spec begun_spans(String.t(), keyword()) :: [%Span{}]
  def begun_spans(name, opts \\ []), do: all(named(:span_start, name, opts))

  @doc "User events with this name."
  @spec events(atom(), keyword()) :: [struct()]
  def events(name, opts \\ []), do: all(named(:user_event, name, opts))

  @doc "How an ended span began."
  @spec beginning(%Span{}) :: %Span{}
  def beginning(%Span{event_type: :span_stop, call_id: call_id}) do
    [start] = read(call_id: call_id, event_type: :span_start, where: [{[:id], :==, call_id}])
    start
  end

  defp answer!({:error, :not_running}), do: raise("the recorder is not running, so there is no tape to ask")
  defp answer!({:error, error}) when is_exception(error), do: raise(error)
  defp answer!({:error, reason}), do: raise("the tape does not answer: #{inspect(reason)}")
  defp answer!(answer), do: answer

  defp named(type, name, opts) do
    {where, opts} = Keyword.pop(opts, :where, [])
    [event_type: type, where: [{[:name], :==, name} | where]] ++ opts
  end
end
