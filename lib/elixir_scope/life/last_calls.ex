defmodule ElixirScope.Life.LastCalls do
  @moduledoc false

  # The recorded calls that a process was in when it ended: those without an end, and those that its last exception went through.

  alias ElixirScope.{Events, Native}
  alias ElixirScope.Life.Past

  # As many of the newest calls and returns are looked at.
  @most 1_000

  # What OTP calls when all is over already.
  @farewell [:terminate, :format_status]

  @typedoc "The outermost first. `exit` is nil where the process did not live to see it."
  @type call :: %{entry: Events.FunctionEntry.t(), exit: Events.FunctionExit.t() | nil}

  @doc "The outermost of them, which handles a message if it is a callback, and all of them."
  @spec of(pid, Past.ending()) :: {Events.FunctionEntry.t() | nil, [call]}
  def of(pid, ending) do
    query = %{
      pid: [pid],
      event_type: [:function_entry, :function_exit],
      until: ending.at,
      limit: @most,
      order: :asc,
      payload: true
    }

    events = with {:error, _reason} <- Native.get_events(query), do: []
    exits = for %Events.FunctionExit{} = exit <- events, into: %{}, do: {exit.call_id, exit}

    calls =
      for %Events.FunctionEntry{} = entry <- events, do: %{entry: entry, exit: Map.get(exits, entry.call_id)}

    calls = last_outermost(calls)
    broken = Enum.filter(calls, &broken?/1)
    {List.first(Enum.map(broken, & &1.entry)), broken}
  end

  # The last call from outside, and all within it.
  defp last_outermost(calls) do
    calls
    |> Enum.reverse()
    |> Enum.split_while(&(&1.entry.parent_id != nil))
    |> case do
      {_inner, []} ->
        calls

      {inner, [outermost | before]} ->
        if outermost.entry.function in @farewell and not broken?(outermost),
          do: last_outermost(Enum.reverse(before)),
          else: [outermost | Enum.reverse(inner)]
    end
  end

  defp broken?(%{exit: nil}), do: true

  defp broken?(%{exit: %{exit_reason: {class, _reason, _stack}}}) when class in [:error, :exit, :throw],
    do: true

  defp broken?(_call), do: false
end
