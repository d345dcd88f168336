# What the tape takes for a call event, and what the whole library adds to a node.
#
#     mix run bench/memory.exs [--smoke]

Code.require_file("support/all.exs", __DIR__)

defmodule Bench.Memory.Loops do
  @moduledoc false

  alias ElixirScope.Native

  @site Bench.Tape.site(__ENV__, :checkout, [:count, :kind, :name])

  @doc "Records `2 * n` events."
  def record(0), do: :ok

  def record(n) do
    token = Native.enter_3(@site, n, :card, "0123456789")
    Native.exit(@site, token, :ok)
    record(n - 1)
  end
end

defmodule Bench.Memory do
  @moduledoc false

  alias Bench.Memory.Loops
  alias Bench.{Machine, Samples, Tape}

  @limit_mb 50

  def run(options) do
    per_event(options)
    whole_library(options)
  end

  # -- One event --------------------------------------------------------------------------------------------------------

  # Bytes that the store reports, payloads aside, at several sizes; what an event takes is the slope between them, so that
  # what is there from the start (the open segment) does not count for it. It is told as well.
  defp per_event(options) do
    step = Bench.size(options, 500_000, 20_000)
    Tape.start!(storage: [memory_limit: 1_024 * 1_048_576])
    empty = bytes()

    {points, _} =
      for n <- 1..6, reduce: {[{0, empty}], 0} do
        {points, _} ->
          record(step)
          count = ElixirScope.count_events()
          Bench.check!(count == n * step, "#{n * step} events stored, got #{count}")
          {[{count, bytes()} | points], count}
      end

    Bench.check!(Tape.lost() == %{}, "nothing was lost")
    [newest, oldest] = ElixirScope.get_events(limit: 2, order: :desc)
    Bench.check!(oldest.args == [1, :card, "0123456789"], "arguments are on tape, got #{inspect(oldest)}")
    Bench.check!(newest.call_id == oldest.call_id, "the exit names its entry")

    slopes =
      for [{more, high}, {less, low}] <- Enum.chunk_every(points, 2, 1, :discard) do
        {(high.own - low.own) / (more - less), (high.payload - low.payload) / (more - less)}
      end

    # the first step fills the open segment
    {own, payload} = slopes |> Enum.drop(-1) |> Enum.unzip()
    %{median: median} = Samples.summary(own)

    Bench.table(options, "Bytes of one call event in the store (entries and exits, three small arguments)", [
      {"columns and index", own, "B", nil},
      {"payload: arguments, result, duration", payload, "B", nil}
    ])

    Bench.figure(options, """
    columns and index: #{Bench.number(median)} B, aim at most 48 B: #{Bench.verdict(median <= 48)}
    the original ElixirScope took 464 to 712 B: #{Bench.number(464 / median)} times as much at the least
    store when empty: #{inspect(empty.kinds)}; with #{Bench.number(6 * step)} events: #{inspect(elem(hd(points), 1).kinds)}
    """)
  end

  defp bytes do
    kinds = ElixirScope.status().store.bytes
    %{payload: kinds.payload, own: kinds.total - kinds.payload, kinds: kinds}
  end

  # In pieces that fit into the rings with room to spare.
  defp record(events) do
    for _ <- 1..div(events, 20_000) do
      Loops.record(10_000)
      Tape.drain()
    end
  end

  # -- The whole library ------------------------------------------------------------------------------------------------

  # Operating-system processes that run one and the same script. Bare nodes have the same code on their path and load nothing
  # of it. All kinds are started in turns.
  @kinds [:bare, :idle, :used]

  defp whole_library(options) do
    if Machine.resident_bytes() == nil do
      IO.puts("Whole library: not measured (needs /proc)")
    else
      events = Bench.size(options, 10_000_000, 40_000)
      rounds = Bench.size(options, 7, 1)

      samples =
        for _ <- 1..rounds, kind <- @kinds, reduce: %{} do
          samples -> Map.update(samples, kind, [node(kind, events)], &[node(kind, events) | &1])
        end

      bare = Samples.median(samples.bare)
      above = fn kind -> Enum.map(samples[kind], &((&1 - bare) / 1.0e6)) end
      mb = Enum.map(samples.bare, &(&1 / 1.0e6))

      Bench.table(options, "Resident memory of a node, default settings, #{rounds} nodes of each kind", [
        {"bare node", mb, "MB", nil},
        {"above it: recorder started, idle", above.(:idle), "MB", nil},
        {"above it: after #{Bench.number(events)} events", above.(:used), "MB", nil}
      ])

      for kind <- [:idle, :used] do
        most = above.(kind) |> Enum.max()

        Bench.figure(
          options,
          "#{kind}: #{Bench.number(most)} MB at most, aim #{@limit_mb} MB: #{Bench.verdict(most <= @limit_mb)}"
        )
      end
    end
  end

  defp node(kind, events) do
    script = Path.join(__DIR__, "support/node.exs")
    paths = Enum.flat_map([ebin(:elixir_scope)], &["-pa", &1])
    elixir = System.find_executable("elixir")

    {output, status} =
      System.cmd(elixir, paths ++ [script, to_string(kind), to_string(events)], stderr_to_stdout: true)

    case {status, Regex.run(~r/^resident (\d+)$/m, output)} do
      {0, [_, bytes]} -> String.to_integer(bytes)
      _ -> Bench.abort("the #{kind} node ended with #{status}: #{output}")
    end
  end

  defp ebin(application), do: to_string(:code.lib_dir(application, :ebin))
end

options = Bench.open("Memory")
Bench.Memory.run(options)
