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
  # library's own thread, whose CPU time the kernel tells (schedstat). A portion ends when that thread has no more work: it
  # looks at the rings every 5 to 50 ms, which costs it some microseconds each time. (`ElixirScope.Performance.Monitor` asks for
  # the status once a second, and whoever asks drains: a portion that it meets looks too cheap. Hence the median.)
  def run(options) do
    if Machine.cpu_ns() == nil do
      IO.puts("Not measured: needs /proc")
    else
      measure(options)
    end
  end

  defp measure(options) do
    few = Bench.size(options, 10_000, 1_000)
    many = Bench.size(options, 10_000_000, 20_000)
    portion = Bench.size(options, 100_000, 20_000)
    samples = Bench.size(options, 20, 2)

    few_stored =
      for _ <- 1..samples do
        start(options)
        fill_to(few)
        portion(portion)
      end

    fill_to(many)
    many_stored = for _ <- 1..samples, do: portion(portion)

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
        {"with #{Bench.number(few)} events stored", few_stored, "ns", nil},
        {"with #{Bench.number(many)} events stored, against it", many_stored, "ns",
         {Samples.ratio(many_stored, few_stored), nil, nil}}
      ]
    )

    worst = max(Samples.median(few_stored), Samples.median(many_stored))
    Bench.figure(options, "aim at most #{@aim_ns} ns, the same at both: #{Bench.verdict(worst <= @aim_ns)}")
    Bench.figure(options, "status().overhead: #{inspect(ElixirScope.status().overhead)}")
  end

  defp start(options) do
    Tape.start!(
      capture: [buffer_size: 600_000, total_bytes: 64 * 1_048_576],
      storage: [memory_limit: Bench.size(options, 3_072, 64) * 1_048_576]
    )
  end

  defp fill_to(events) do
    if ElixirScope.count_events() < events do
      record(min(events, 100_000))
      fill_to(events)
    end
  end

  defp portion(events) do
    Tape.drain()
    stored = ElixirScope.status().store.events
    before = recorder_cpu()
    record(events)
    ended = when_idle(before)
    now_stored = ElixirScope.status().store.events
    Bench.check!(now_stored == stored + events, "#{stored + events} events are stored, got #{now_stored}")
    (ended - before) / events
  end

  @idle_ms 120
  @idle_ns 200_000

  # It has to be seen at work before it can be idle: it may wait long for a core.
  defp when_idle(cpu, worked? \\ false) do
    receive do
    after
      @idle_ms ->
        now = recorder_cpu()
        works? = now - cpu >= @idle_ns
        if worked? and not works?, do: now, else: when_idle(now, worked? or works?)
    end
  end

  defp recorder_cpu, do: Map.get(Machine.cpu_ns(), :recorder, 0)

  defp record(events) do
    Task.await(Task.async(fn -> Loops.record(div(events, 2)) end), :infinity)
  end
end

options = Bench.open("Ingest: from the rings into the store")
Bench.Ingest.run(options)
