# What it costs the library's own thread to take one event from a ring into the store, with few events stored and with many.
#
#     mix run bench/ingest.exs [--smoke]
#
# The engine's own benchmark measures the same without a node: `cargo bench -p elixir_scope_engine --bench store`.

Code.require_file("support/all.exs", __DIR__)

defmodule Bench.Ingest.Loops do
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

defmodule Bench.Ingest do
  @moduledoc false

  alias Bench.Ingest.Loops
  alias Bench.{Machine, Samples, Tape}

  @aim_ns 100

  # Events are recorded in portions that fit into the rings; nobody asks anything meanwhile, so that all the work falls to the
  # library's own thread, whose CPU time the kernel tells (schedstat). Between portions we wait until
  # they are all in the store.
  def run(options) do
    if Machine.cpu_ns() == nil do
      IO.puts("Not measured: needs /proc")
    else
      measure(options)
    end
  end

  defp measure(options) do
    Tape.start!(
      capture: [buffer_size: 600_000, total_bytes: 64 * 1_048_576],
      storage: [memory_limit: Bench.size(options, 3_072, 64) * 1_048_576]
    )

    portion = Bench.size(options, 200_000, 2_000)
    many = Bench.size(options, 10_000_000, 20_000)
    fill_to(Bench.size(options, 10_000, 1_000))

    few_stored = portions(Bench.size(options, 10, 2), portion)
    fill_to(many)
    many_stored = portions(Bench.size(options, 10, 2), portion)

    Bench.check!(Tape.lost() == %{}, "nothing was lost")
    Bench.check!(ElixirScope.status().store.evicted == 0, "nothing was evicted")
    Bench.check!(ElixirScope.count_events() >= many, "#{many} events are stored")
    [entry, exit] = ElixirScope.get_events(limit: 2)
    Bench.check!(entry.args == [1, :card, "0123456789"], "arguments are on tape")
    Bench.check!(exit.call_id == entry.call_id, "the exit names its entry")

    Bench.table(
      options,
      "CPU of the library's own thread for one event, portions of #{Bench.number(portion)}",
      [
        {"from 10 thousand to 2 million stored", few_stored, "ns", nil},
        {"above 10 million stored (ratio: to the first row)", many_stored, "ns",
         {Samples.ratio(many_stored, few_stored), nil, nil}}
      ]
    )

    worst = max(Samples.median(few_stored), Samples.median(many_stored))
    Bench.figure(options, "aim at most #{@aim_ns} ns: #{Bench.verdict(worst <= @aim_ns)}")
    Bench.figure(options, "status().overhead: #{inspect(ElixirScope.status().overhead)}")
  end

  defp fill_to(events) do
    if ElixirScope.count_events() < events do
      record(min(events, 100_000))
      fill_to(events)
    end
  end

  defp portions(count, events) do
    for _ <- 1..count do
      Tape.drain()
      stored = ElixirScope.status().store.events
      before = Machine.cpu_ns()[:recorder] || 0
      record(events)
      wait_until_stored(stored + events)
      ((Machine.cpu_ns()[:recorder] || 0) - before) / events
    end
  end

  defp record(events) do
    Task.await(Task.async(fn -> Loops.record(div(events, 2)) end), :infinity)
  end

  # The library's thread drains by itself.
  defp wait_until_stored(events) do
    if ElixirScope.status().store.events < events do
      receive do
      after
        1 -> wait_until_stored(events)
      end
    end
  end
end

options = Bench.open("Ingest: from the rings into the store")
Bench.Ingest.run(options)
