defmodule ElixirScope.Life.CrashReport do
  @moduledoc false

  # One story of the end of a process: what it was, what it held and was doing, who went along with it, and who came in its place.

  alias ElixirScope.{Events, Native}
  alias ElixirScope.Life.{Cascade, LastCalls, Lineage, Past}

  @last_messages 10

  @type t :: %{
          pid: pid,
          name: atom | nil,
          initial_call: mfa | nil,
          supervisor: pid | nil,
          born_at: integer | nil,
          exited_at: integer,
          reason: term,
          recorded: :exit | :crash,
          crash: Events.CrashDump.t() | nil,
          state: {:ok, term, map} | {:error, term},
          handling: Events.FunctionEntry.t() | nil,
          calls: [LastCalls.call()],
          messages: [Events.MessageReceive.t()],
          cause: Cascade.member() | nil,
          followed: [Cascade.member()],
          restart: %{pid: pid, at: integer | nil, restarts: non_neg_integer} | nil,
          events: [Events.t()]
        }

  @spec of(pid) :: {:ok, t} | {:error, term}
  def of(pid) do
    crash = newest(pid, :crash)

    with %{} = past <- Past.read(),
         %{} = ending <- Map.get(past.ends, pid) || fallback(pid, crash) || {:error, :no_exit_recorded} do
      {:ok, tell(pid, ending, crash, past)}
    end
  end

  # The end may be older than what is looked at of all processes.
  defp fallback(pid, crash) do
    case newest(pid, :process_exit) do
      %{} = exit -> %{at: exit.timestamp, reason: exit.exit_reason, event_id: exit.id, late: false}
      nil -> crash && %{at: crash.timestamp, reason: crash.crash_reason, event_id: crash.id, late: false}
    end
  end

  defp tell(pid, ending, crash, past) do
    birth = Map.get(past.births, pid)
    supervisor? = &Past.supervisor?(past, &1)
    lineage = Lineage.of(past, supervisor?)
    parent = birth && birth.parent
    supervisor = (crash && crash.supervisor_pid) || if(parent && supervisor?.(parent), do: parent)
    cascade = Cascade.of(pid, past, lineage, supervisor?)
    {handling, calls} = LastCalls.of(pid, ending)

    %{
      pid: pid,
      name: Past.last_name(past, pid),
      initial_call: birth && birth.initial_call,
      supervisor: supervisor,
      born_at: birth && birth.at,
      exited_at: ending.at,
      reason: ending.reason,
      recorded: if(crash && crash.id == ending.event_id, do: :crash, else: :exit),
      crash: crash,
      state: state(pid, crash),
      handling: handling,
      calls: calls,
      messages: messages(pid, ending),
      cause: cascade.cause,
      followed: cascade.followed,
      restart: restart(pid, past, lineage),
      events: cascade.events
    }
  end

  # The timeline's state is whole, that of the report cut like any argument.
  defp state(pid, crash) do
    with {:error, reason} <- Native.state_at(%{pid: pid, time: :last}) do
      case crash do
        %{process_state: state} when state != nil ->
          {:ok, state,
           %{quality: :unverified, recorded_at: crash.timestamp, event_id: crash.id, source: :crash}}

        _none ->
          {:error, reason}
      end
    end
  end

  # What loads code and writes the report of the crash gets answers too, which nobody has sent to the process as such.
  defp messages(pid, ending) do
    query = %{
      pid: [pid],
      event_type: [:message_receive],
      until: ending.at,
      limit: 10 * @last_messages,
      order: :asc
    }

    query |> list() |> Enum.reject(&housekeeping?(&1.message)) |> Enum.take(-@last_messages)
  end

  defp housekeeping?({:code_server, _answer}), do: true
  defp housekeeping?({:io_reply, _ref, _answer}), do: true
  defp housekeeping?(_message), do: false

  defp restart(pid, past, lineage) do
    case Lineage.successor(lineage, pid) do
      nil ->
        nil

      successor ->
        birth = Map.get(past.births, successor)
        %{pid: successor, at: birth && birth.at, restarts: Lineage.restarts(lineage, successor)}
    end
  end

  defp newest(pid, type), do: List.first(list(%{pid: [pid], event_type: [type], limit: 1, order: :asc}))

  defp list(query) do
    case Native.get_events(Map.put(query, :payload, true)) do
      events when is_list(events) -> events
      _error -> []
    end
  end
end
