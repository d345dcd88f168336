# A steady load for a minute: entries and exits of calls with three small arguments, offered by two processes at a fixed rate.
#
#     mix run bench/sustained.exs [--smoke] [--seconds 60] [--rate 1000000]

Code.require_file("support/all.exs", __DIR__)

defmodule Bench.Sustained.Loops do
  @moduledoc false

  alias ElixirScope.Native

  @site Bench.Tape.site(__ENV__, :checkout, [:count, :kind, :name])

  def recorded(0), do: :ok

  def recorded(n) do
    token = Native.enter_3(@site, n, :card, "0123456789")
    Native.exit(@site, token, :ok)
    recorded(n - 1)
  end

  def unrecorded(0), do: :ok

  def unrecorded(n) do
    Native.noop_3(n, :card, "0123456789")
    Native.noop_3(n, :card, :ok)
    unrecorded(n - 1)
  end
end

defmodule Bench.Sustained do
  @moduledoc false

  alias Bench.Sustained.Loops
  alias Bench.{Machine, Samples, Tape}

  @writers 2
  # What an event of this load takes in a ring: its head of 40 bytes, its payload, padding. Rounded up.
  @record_bytes 80

  def run(options) do
    seconds = options.given[:seconds] || Bench.size(options, 60, 2)
    rate = options.given[:rate] || Bench.size(options, 1_000_000, 100_000)

    # rings for 250 ms of the whole load
    buffer = div(rate, 4) * @record_bytes
    capture = [buffer_bytes: div(buffer, @writers), total_bytes: buffer, overflow_strategy: :drop_newest]

    IO.puts(
      "offered: #{Bench.number(rate)} events/s for #{seconds} s by #{@writers} processes; rings: #{Bench.mib(buffer)} in all " <>
        "(250 ms at #{@record_bytes} bytes an event); store: default settings"
    )

    baseline = load(&Loops.unrecorded/1, rate, Bench.size(options, 10, 1), fn -> nil end)

    resident_before = Machine.resident_bytes()
    Tape.start!(capture: capture)

    load = load(&Loops.recorded/1, rate, seconds, &sample/0)
    load = Map.put(load, :resident_before, resident_before)
    account = Tape.account()
    limit = ElixirScope.get_config().storage[:memory_limit]

    on_tape = account.stored + account.evicted
    losses = length(ElixirScope.get_events(event_type: :data_loss, limit: :infinity, payload: false))

    Bench.check!(
      on_tape + account.lost >= load.offered and on_tape + account.lost <= load.offered + losses,
      "each of #{load.offered} events is stored, evicted or counted as lost, got #{inspect(account)}"
    )

    if options.smoke, do: IO.puts("Each event is stored, evicted or counted as lost: answers checked")
    report(options, load, baseline, account, limit, rate)
  end

  defp report(options, load, baseline, account, limit, rate) do
    figure = &Bench.figure(options, &1)
    offered = load.offered / load.seconds

    figure.("""
    offered in truth: #{Bench.number(offered)} events/s (unrecorded run of the same driver: \
    #{Bench.number(baseline.offered / baseline.seconds)}); driver on time: #{Bench.verdict(offered > 0.99 * rate)}
    lost: #{Bench.number(account.lost)} (aim: none) #{Bench.verdict(account.lost == 0)}; #{inspect(Tape.lost())}
    CPU while recording: #{share(load, load)} of one core in all; the library's own threads #{share(load, load, :recorder)}; \
    driver without recording #{share(baseline, baseline)}
    """)

    # From the moment that the store is full its bytes may only move within a segment.
    full = Enum.drop_while(load.samples, &(&1.evicted == 0))

    if full == [] do
      figure.("the store was never full: no figure for memory at the limit")
    else
      store = Enum.map(full, & &1.store)

      Bench.table(options, "Memory, once each second from when the store was full (#{length(full)} s)", [
        {"store, of a limit of #{Bench.mib(limit)}", mib(store), "MiB", nil},
        {"rings in use", mib(Enum.map(full, & &1.rings)), "MiB", nil},
        {"resident memory of the node", mib(Enum.map(full, &(&1.resident || 0))), "MiB", nil}
      ])

      resident(options, load, full, limit)

      figure.(
        "store above its limit: #{Bench.mib(Enum.max(store))} at most, #{Bench.verdict(Enum.max(store) <= limit)}"
      )
    end
  end

  # The bound of the design: what was configured for store and rings, a tenth more, and 4 MiB.
  defp resident(options, load, full, limit) do
    case Enum.map(full, & &1.resident) do
      [first | _] = resident when is_integer(first) ->
        configured = limit + ElixirScope.get_config().capture.total_bytes
        allowed = div(configured * 11, 10) + 4 * 1_048_576
        added = Enum.max(resident) - load.resident_before
        {early, late} = Enum.split(resident, div(length(resident), 2))
        grown = if early == [], do: 0, else: Samples.median(late) - Samples.median(early)

        Bench.figure(options, """
        resident memory above what it was before the start: #{Bench.mib(added)} at most, aim #{Bench.mib(allowed)}: \
        #{Bench.verdict(added <= allowed)}; median of the second half above that of the first: #{Bench.mib(grown)}
        """)

      _ ->
        :ok
    end
  end

  defp mib(bytes), do: Enum.map(bytes, &(&1 / 1_048_576))

  defp share(%{cpu: nil}, _load), do: "unknown"
  defp share(%{cpu: cpu}, load), do: percent(Enum.sum(Map.values(cpu)), load)

  defp share(%{cpu: nil}, _load, _kind), do: "unknown"
  defp share(%{cpu: cpu}, load, kind), do: percent(Map.get(cpu, kind, 0), load)

  defp percent(ns, load), do: "#{round(ns / load.seconds / 1.0e7)} %"

  defp sample do
    status = ElixirScope.status()

    %{
      store: Tape.store_bytes(status),
      rings: status.capture.bytes,
      evicted: status.store.evicted,
      resident: Machine.resident_bytes()
    }
  end

  # -- The driver -------------------------------------------------------------------------------------------------------

  defp load(emit, rate, seconds, sample) do
    calls_per_second = div(rate, 2 * @writers)
    before = Machine.cpu_ns()
    started = :erlang.monotonic_time(:nanosecond)
    until = started + seconds * 1_000_000_000

    writers =
      for _ <- 1..@writers do
        Task.async(fn -> pace(emit, calls_per_second, started, until, 0) end)
      end

    samples = sample_until(until, sample, [])
    calls = writers |> Task.await_many(:infinity) |> Enum.sum()
    elapsed = :erlang.monotonic_time(:nanosecond) - started
    later = Machine.cpu_ns()

    %{
      offered: 2 * calls,
      seconds: elapsed / 1.0e9,
      samples: samples,
      cpu: before && later && Map.new(later, fn {kind, ns} -> {kind, ns - Map.get(before, kind, 0)} end)
    }
  end

  # Each writer owes so many calls by now, and makes good what it owes about once in a millisecond.
  defp pace(emit, calls_per_second, started, until, done) do
    now = min(:erlang.monotonic_time(:nanosecond), until)
    due = div((now - started) * calls_per_second, 1_000_000_000)
    emit.(due - done)

    if now == until do
      due
    else
      receive do
      after
        1 -> pace(emit, calls_per_second, started, until, due)
      end
    end
  end

  defp sample_until(until, sample, samples) do
    left = until - :erlang.monotonic_time(:nanosecond)

    if left < 500_000_000 do
      Enum.reverse(samples)
    else
      receive do
      after
        1_000 -> sample_until(until, sample, [sample.() | samples])
      end
    end
  end
end

options = Bench.open("Sustained load", seconds: :integer, rate: :integer)
Bench.Sustained.run(options)
