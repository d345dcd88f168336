defmodule ElixirScope.Capture.TemporalBridge.Path do
  @moduledoc false

  # How it came to an event: up through the enclosing calls, and over the message or spawn that brought the cause into the process,
  # to the calls which that happened in.

  alias ElixirScope.{Events, Query}

  # A cause goes through no more events than that; calls that enclose each other are as many as the stack was deep.
  @longest 1_000

  @doc "The events of the way, the first cause first, the event itself last."
  @spec to(Events.t()) :: [Events.t()]
  def to(event), do: up(event, [event])

  defp up(_event, path) when length(path) >= @longest, do: path

  defp up(event, path) do
    case enclosing(event) || carrier(event) do
      nil -> path
      before -> up(before, [before | path])
    end
  end

  defp enclosing(%{parent_id: nil}), do: nil

  defp enclosing(%{parent_id: id}) do
    case Query.get_events(after: id - 1, limit: 1) do
      [%{id: ^id} = entry] -> entry
      _evicted -> nil
    end
  end

  # Of what carries the cause of an event, the newest that went to its process before it.
  defp carrier(%{correlation_id: cause, pid: pid, id: id}) when is_integer(cause) and is_pid(pid) do
    case carriers(cause, id) do
      carriers when is_list(carriers) -> Enum.find(carriers, &(&1.pid != pid and goes_to?(&1, pid)))
      _error -> nil
    end
  end

  defp carrier(_event), do: nil

  defp carriers(cause, before) do
    Query.get_events(
      correlation_id: cause,
      event_type: [:message_send, :process_spawn],
      before: before,
      limit: @longest,
      order: :desc
    )
  end

  defp goes_to?(%{event_type: :message_send, receiver_pid: receiver}, pid), do: receiver == pid
  defp goes_to?(%{event_type: :process_spawn, spawned_pid: spawned}, pid), do: spawned == pid
end
