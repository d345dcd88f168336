defmodule Shop.Print do
  @moduledoc "Answers of `Shop.Questions`, printed for people."

  alias Shop.Audit.Check
  alias Shop.Print.{Story, Table, Unit}

  @doc """
  Events in order, a call in one line, each indented by the calls around it, with the time since the first, or since the
  instant `zero`; and with its process, where there are several.
  """
  @spec events([struct()], zero :: integer() | nil) :: :ok
  def events(events, zero \\ nil)
  def events([], _zero), do: IO.puts("  (nothing on the tape)")

  def events([first | _more] = events, zero) do
    zero = zero || first.timestamp
    several? = Enum.any?(events, &(&1.pid != first.pid))

    rows =
      for {event, depth, text} <- Story.lines(events) do
        process = if several?, do: [inspect(event.pid)], else: []
        [Unit.elapsed(event.timestamp - zero)] ++ process ++ [String.duplicate("  ", depth) <> text]
      end

    Table.print(rows, align: if(several?, do: [:right, :left, :left], else: [:right, :left]))
  end

  @doc "Checkouts with their parts."
  @spec checkouts([Shop.Questions.checkout()]) :: :ok
  def checkouts(checkouts) do
    rows =
      for checkout <- checkouts do
        parts = Enum.take(for({function, ns} <- checkout.parts, do: {Unit.function(function), ns}), 2)
        parts = parts ++ [{"in queues", checkout.queue_ns}, {"the rest", checkout.rest_ns}]
        parts = Enum.map_join(parts, ", ", fn {name, ns} -> "#{name} #{Unit.time(ns)}" end)
        [checkout.cart, Unit.time(checkout.duration_ns), Unit.clock(checkout.wall_time), parts]
      end

    Table.print(rows, head: ["cart", "took", "at", "of which"], align: [:left, :right, :left, :left])
  end

  @doc "What failed, and how often."
  @spec failures([Shop.Questions.failure()]) :: :ok
  def failures(failures) do
    rows =
      for failure <- failures do
        how = if failure.raised?, do: "raised", else: "answered"
        [Unit.count(failure.times), Unit.function(failure.function), how, inspect(failure.error)]
      end

    Table.print(rows, head: ["times", "function", "", ""], align: [:right, :left, :left, :left])
  end

  @doc "The states of one process, each with what led to it."
  @spec states([struct()], zero :: integer() | nil) :: :ok
  def states(changes, zero \\ nil)
  def states([], _zero), do: IO.puts("  (nothing on the tape)")

  def states([first | _more] = changes, zero) do
    zero = zero || first.timestamp

    rows =
      for change <- changes do
        message =
          if change.trigger_message == nil,
            do: to_string(change.callback),
            else: inspect(change.trigger_message)

        [Unit.elapsed(change.timestamp - zero), message, inspect(change.new_state)]
      end

    Table.print(rows, head: ["", "at", "became"], align: [:right, :left, :left])
  end

  @doc "What one process asked another."
  @spec exchanges([Shop.Questions.exchange()]) :: :ok
  def exchanges([]), do: IO.puts("  (nothing on the tape)")

  def exchanges([first | _more] = exchanges) do
    rows =
      for exchange <- exchanges do
        [
          Unit.elapsed(exchange.at - first.at),
          inspect(exchange.request),
          inspect(exchange.reply),
          Unit.time(exchange.wait_ns),
          Unit.time(exchange.work_ns)
        ]
      end

    Table.print(rows,
      head: ["", "asked", "answered", "waited", "worked"],
      align: [:right, :left, :left, :right, :right]
    )
  end

  @doc "The time before a crash."
  @spec crash(map() | nil) :: :ok
  def crash(nil), do: IO.puts("  (it did not crash)")

  def crash(%{crash: crash} = story) do
    IO.puts(
      "  #{Unit.clock(crash.wall_time)}  #{inspect(crash.pid)}, with order #{crash.order.id} of #{crash.order.cart} in hand"
    )

    IO.puts("  #{inspect(crash.reason)}")
    IO.puts("  #{crash.where}")

    IO.puts(
      "  in #{crash.callback} of #{inspect(crash.message)}, with #{inspect(crash.state)} as its state\n"
    )

    worker = Enum.take(story.worker, -16)
    IO.puts("  the worker's last #{length(worker)} events of #{length(story.worker)} in that time")
    events(worker, crash.at)
    states = Enum.take(story.states, -3)
    IO.puts("\n  its last #{length(states)} states")
    states(states, crash.at)
    IO.puts("\n  the cart that the order came from")
    states(story.cart, crash.at)
    IO.puts("\n  meanwhile, calls in all processes, in #{story.window_ms} ms")
    counts(story.meanwhile)
  end

  defp counts(counts) do
    {most, rest} = counts |> Enum.sort_by(fn {_function, count} -> -count end) |> Enum.split(8)
    Table.print(for({f, count} <- most, do: [Unit.count(count), Unit.function(f)]), align: [:right, :left])

    if rest != [] do
      others = rest |> Enum.map(&elem(&1, 1)) |> Enum.sum()
      IO.puts("  and #{Unit.count(others)} of #{length(rest)} other functions")
    end
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

    Table.print(rows, head: ["", "", "expected", "tape"], align: [:left, :left, :right, :right])
  end

  defp figure(number) when is_integer(number), do: Unit.count(number)
  defp figure(other), do: to_string(other)
end
