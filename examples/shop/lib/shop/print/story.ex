defmodule Shop.Print.Story do
  @moduledoc "Events told one after the other: a call in one line, with its result and its duration, and what happened in it below."

  alias ElixirScope.Events.{
    CallbackReply,
    FunctionEntry,
    FunctionExit,
    MessageSend,
    PerformanceMetric,
    ProcessSpawn,
    StateChange,
    VariableAssignment
  }

  alias Shop.Print.Unit

  @arguments 48
  @result 40

  @doc "Of each event that has a line its depth in the calls of its process, and the line."
  @spec lines([struct()]) :: [{struct(), depth :: non_neg_integer(), String.t()}]
  def lines(events) do
    ends = for %FunctionExit{} = exit <- events, exit.call_id, into: %{}, do: {exit.call_id, exit}
    begun = for %FunctionEntry{} = entry <- events, into: MapSet.new(), do: entry.id

    {lines, _depths} =
      Enum.map_reduce(events, %{}, fn event, depths ->
        {now, next} = depths(event, Map.get(depths, event.pid, 0))
        {{event, now, tell(event, ends, begun)}, Map.put(depths, event.pid, next)}
      end)

    Enum.reject(lines, fn {_event, _depth, text} -> text == nil end)
  end

  defp depths(%FunctionEntry{}, depth), do: {depth, depth + 1}
  defp depths(%FunctionExit{}, depth), do: {max(depth - 1, 0), max(depth - 1, 0)}
  defp depths(_event, depth), do: {depth, depth}

  defp tell(%FunctionEntry{} = entry, ends, _begun), do: "#{call(entry)}#{ended(ends[entry.id])}"

  # What began before the first of these events.
  defp tell(%FunctionExit{} = exit, _ends, begun) do
    unless exit.call_id in begun,
      do: "… #{Unit.function({exit.module, exit.function, exit.arity})}#{ended(exit)}"
  end

  defp tell(%MessageSend{} = sent, _ends, _begun),
    do: "! #{sent.send_type} to #{receiver(sent)}: #{short(sent.message)}"

  defp tell(%StateChange{} = change, _ends, _begun), do: "= #{short(change.new_state)}"
  defp tell(%ProcessSpawn{} = spawn, _ends, _begun), do: "+ #{inspect(spawn.spawned_pid)}"
  defp tell(%CallbackReply{}, _ends, _begun), do: nil

  defp tell(%PerformanceMetric{} = metric, _ends, _begun),
    do: "~ #{metric.metric_name} = #{metric.value}  #{short(metric.metadata)}"

  defp tell(%VariableAssignment{} = snapshot, _ends, _begun),
    do: "@ line #{snapshot.line}  #{short(snapshot.bindings)}"

  defp tell(event, _ends, _begun), do: to_string(event.event_type)

  # Its arguments are not recorded.
  defp call(%{args: args, arity: arity} = entry) when args == nil or length(args) < arity,
    do: Unit.function({entry.module, entry.function, entry.arity})

  defp call(entry) do
    arguments = Enum.map_join(entry.args, ", ", &short(&1, div(@arguments, length(entry.args))))
    "#{inspect(entry.module)}.#{entry.function}(#{arguments})"
  end

  defp ended(nil), do: ""

  defp ended(%{exit_reason: :normal} = exit),
    do: "  -> #{short(exit.result, @result)}, #{Unit.time(exit.duration_ns)}"

  defp ended(%{exit_reason: :tail_call}), do: ""

  defp ended(%{exit_reason: {class, reason, _stacktrace}} = exit),
    do: "  #{class}: #{short(reason, @result)}, #{Unit.time(exit.duration_ns)}"

  defp receiver(%{receiver_name: nil, receiver_pid: pid}), do: inspect(pid)
  defp receiver(%{receiver_name: name}), do: inspect(name)

  defp short(term, longest \\ 66) do
    text = inspect(term, limit: 12, printable_limit: 60, width: :infinity, charlists: :as_lists)
    if String.length(text) > longest, do: String.slice(text, 0, longest - 1) <> "…", else: text
  end
end
