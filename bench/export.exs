# A tape of a million events as a Perfetto file: how long it takes, and what memory it takes meanwhile.
#
#     mix run bench/export.exs [--smoke] [--events 1000000] [--runs 5]

Code.require_file("support/all.exs", __DIR__)

defmodule Bench.Export.Loops do
  @moduledoc false

  require ElixirScope.Trace
  alias ElixirScope.{Native, Trace}

  @site Bench.Tape.site(__ENV__, :checkout, [:count, :kind, :name])

  @doc "Records `4 * n` events: half of them user events, half entries and exits."
  def record(0), do: :ok

  def record(n) do
    token = Native.enter_3(@site, n, :card, "0123456789")
    Trace.event(:step, %{count: n, kind: :card, name: "0123456789"})
    Trace.event(:step, %{count: n, kind: :cash, name: "0123456789"})
    Native.exit(@site, token, :ok)
    record(n - 1)
  end
end

defmodule Bench.Export do
  @moduledoc false

  alias Bench.Export.Loops
  alias Bench.{Machine, Samples, Tape}
  alias ElixirScope.Export

  @processes 100
  @aim_ms 3_000

  def run(options) do
    events = options.given[:events] || Bench.size(options, 1_000_000, 20_000)
    runs = options.given[:runs] || Bench.size(options, 5, 1)

    Tape.start!(
      capture: [buffer_size: 400_000, total_bytes: 64 * 1_048_576],
      storage: [memory_limit: 1_024 * 1_048_576]
    )

    fill(events)
    Bench.check!(Tape.lost() == %{}, "nothing was lost")
    count = ElixirScope.count_events()
    Bench.check!(count == events, "#{events} events are stored, got #{count}")
    path = Path.join(System.tmp_dir!(), "elixir_scope_bench_#{System.pid()}.pftrace")

    try do
      check(path, count)
      figures(options, path, count, runs)
    after
      File.rm(path)
    end
  end

  # Each process records 100 events, then the next one, and round again, so that tracks take turns.
  defp fill(events) do
    workers = for _ <- 1..@processes, do: spawn_link(&worker/0)

    for _ <- 1..div(events, @processes * 100) do
      for worker <- workers do
        send(worker, {:record, 25, self()})

        receive do
          {^worker, :recorded} -> :ok
        end
      end

      Tape.drain()
    end
  end

  defp worker do
    receive do
      {:record, n, from} ->
        Loops.record(n)
        send(from, {self(), :recorded})
        worker()
    end
  end

  defp check(path, count) do
    {:ok, written} = Export.perfetto(path: path)
    Bench.check!(written.events == count, "all #{count} events are written, got #{written.events}")
    Bench.check!(written.tracks == @processes, "each process has a track, got #{written.tracks}")
    packets = path |> File.read!() |> packets(0)
    Bench.check!(packets >= count, "each event is a packet at least, got #{packets}")
    :erlang.garbage_collect()
  end

  # The field `packet` and its length in four bytes.
  defp packets(<<>>, n), do: n

  defp packets(<<0x0A, 1::1, a::7, 1::1, b::7, 1::1, c::7, 0::1, d::7, rest::binary>>, n) do
    size = a + b * 128 + c * 16_384 + d * 2_097_152
    <<_packet::binary-size(size), rest::binary>> = rest
    packets(rest, n + 1)
  end

  defp figures(options, path, count, runs) do
    before = Machine.resident_bytes()
    most = :atomics.new(1, [])

    look = fn _progress ->
      :atomics.put(most, 1, max(:atomics.get(most, 1), Machine.resident_bytes() || 0))
    end

    {samples, written} =
      Enum.map_reduce(1..runs, nil, fn _, _ ->
        {ns, {:ok, written}} = Samples.timed(fn -> Export.perfetto(path: path) end)
        {ns / 1.0e6, written}
      end)

    {:ok, _} = Export.perfetto(path: path, progress: look)
    bare = for _ <- 1..runs, do: bare(path)

    Bench.table(options, "#{Bench.number(count)} events to a file of #{Bench.mib(written.bytes)}", [
      {"with arguments, results and data", samples, "ms", {nil, :p99, @aim_ms}},
      {"without (`payload: false`)", bare, "ms", {nil, :p99, @aim_ms}}
    ])

    if before do
      grown = max(:atomics.get(most, 1) - before, 0)

      Bench.figure(
        options,
        "resident memory before: #{Bench.mib(before)}; at most #{Bench.mib(grown)} more while it is written"
      )
    end
  end

  defp bare(path) do
    {ns, {:ok, _}} = Samples.timed(fn -> Export.perfetto(path: path, payload: false) end)
    ns / 1.0e6
  end
end

options = Bench.open("Export", events: :integer, runs: :integer)
Bench.Export.run(options)
