defmodule Shop.Print do
  @moduledoc "Answers of `Shop.Questions`, printed for people."

  alias ElixirScope.Events.{PerformanceMetric, Span, UserEvent, VariableAssignment}
  alias Shop.Audit.Check
  alias Shop.Print.{Table, Unit}

  @doc """
  Events in order, indented by span, each with the time since the first, or since the instant `zero`; and with its process,
  where there are several.
  """
  @spec events([struct()], zero :: integer() | nil) :: :ok
  def events(events, zero \\ nil)
  def events([], _zero), do: IO.puts("  (nothing on the tape)")

  def events([first | _more] = events, zero) do
    zero = zero || first.timestamp
    several? = Enum.any?(events, &(&1.pid != first.pid))

    {rows, _depths} =
      Enum.map_reduce(events, %{}, fn event, depths ->
        {before, then} = depths(event, Map.get(depths, event.pid, 0))
        process = if several?, do: [inspect(event.pid)], else: []
        row = [Unit.elapsed(event.timestamp - zero)] ++ process ++ [indent(before) <> tell(event)]
        {row, Map.put(depths, event.pid, then)}
      end)

    Table.print(rows, align: if(several?, do: [:right, :left, :left], else: [:right, :left]))
  end

  @doc "Checkouts with their parts."
  @spec checkouts([Shop.Questions.checkout()]) :: :ok
  def checkouts(checkouts) do
    rows =
      for checkout <- checkouts do
        parts = checkout.parts ++ [{"waiting for others", checkout.rest_ns}]
        parts = Enum.map_join(parts, ", ", fn {name, ns} -> "#{name} #{Unit.time(ns)}" end)
        [checkout.cart, Unit.time(checkout.duration_ns), Unit.clock(checkout.wall_time), parts]
      end

    Table.print(rows, head: ["cart", "took", "at", "of which"], align: [:left, :right, :left, :left])
  end

  @doc "The time before a crash."
  @spec crash(map() | nil) :: :ok
  def crash(nil), do: IO.puts("  (it did not crash)")

  def crash(%{crash: crash} = story) do
    IO.puts(
      "  #{Unit.clock(crash.wall_time)}  #{inspect(crash.pid)}, with order #{crash.order} of #{crash.cart} in hand"
    )

    IO.puts("  #{inspect(crash.reason)}")
    IO.puts("  #{crash.where}\n")

    worker = Enum.take(story.worker, -8)
    IO.puts("  the worker's last #{length(worker)} events of #{length(story.worker)} in that time")
    events(worker, crash.at)
    IO.puts("\n  the cart that the order came from")
    events(story.cart, crash.at)
    IO.puts("\n  meanwhile, in all processes, in #{story.window_ms} ms")
    counts(story.meanwhile)
  end

  defp counts(counts) do
    counts
    |> Enum.sort_by(fn {_name, count} -> -count end)
    |> Enum.map(fn {name, count} -> [Unit.count(count), to_string(name)] end)
    |> Table.print(align: [:right, :left])
  end

  @doc "What the recorder holds."
  @spec memory(map()) :: :ok
  def memory(memory) do
    Table.print(
      [
        ["events in the store", Unit.count(memory.events)],
        ["segments", Unit.count(memory.segments)],
        ["evicted", Unit.count(memory.evicted)],
        ["rings", Unit.bytes(memory.rings)],
        ["store (limit #{Unit.bytes(memory.store_limit)})", Unit.bytes(memory.store)],
        ["all of the node's Erlang memory", Unit.bytes(memory.node)]
      ],
      align: [:left, :right]
    )
  end

  @doc "What came in, and how fast."
  @spec throughput(map()) :: :ok
  def throughput(throughput) do
    Table.print(
      [
        ["recorded in this time", Unit.count(throughput.in_window)],
        ["time", Unit.time(throughput.window_ns)],
        ["a second", Unit.count(throughput.per_second)],
        ["lost", Unit.count(throughput.lost)]
      ],
      align: [:left, :right]
    )
  end

  @doc "Checks of `Shop.Audit`."
  @spec checks([Check.t()]) :: :ok
  def checks(checks) do
    rows =
      for check <- checks do
        [if(Check.ok?(check), do: "ok", else: "FAIL"), check.what, figure(check.shoppers), figure(check.tape)]
      end

    Table.print(rows, head: ["", "", "shoppers", "tape"], align: [:left, :left, :right, :right])
  end

  defp figure(number) when is_integer(number), do: Unit.count(number)
  defp figure(other), do: to_string(other)

  defp depths(%Span{event_type: :span_start}, depth), do: {depth, depth + 1}
  defp depths(%Span{event_type: :span_stop}, depth), do: {max(depth - 1, 0), max(depth - 1, 0)}
  defp depths(_event, depth), do: {depth, depth}

  defp indent(depth), do: String.duplicate("  ", depth)

  defp tell(%Span{event_type: :span_start} = span), do: "> #{span.name}  #{short(span.metadata)}"
  defp tell(%Span{exit_reason: :normal} = span), do: "< #{span.name}  #{Unit.time(span.duration_ns)}"

  defp tell(%Span{exit_reason: {class, reason, _stacktrace}} = span),
    do: "< #{span.name}  #{Unit.time(span.duration_ns)}  #{class}: #{short(reason)}"

  defp tell(%UserEvent{} = event), do: "* #{event.name}  #{short(event.data)}"

  defp tell(%PerformanceMetric{} = metric),
    do: "~ #{metric.metric_name} = #{metric.value}  #{short(metric.metadata)}"

  defp tell(%VariableAssignment{} = snapshot),
    do: "@ #{inspect(snapshot.module)}:#{snapshot.line}  #{short(snapshot.bindings)}"

  defp tell(event), do: to_string(event.event_type)

  defp short(term), do: inspect(term, limit: 12, printable_limit: 60, width: :infinity)
end
