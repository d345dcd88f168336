# What it costs to record one event, against an empty call into the library, and against ETS.
#
#     mix run bench/capture.exs [--smoke] [--part alone|off|busy|two]

Code.require_file("support/all.exs", __DIR__)

defmodule Bench.Capture.Loops do
  @moduledoc false

  # All loops have one shape: a counter and the two arguments that do not change. The counter is the integer argument.

  require ElixirScope.Trace
  alias ElixirScope.{Native, Trace}

  @site Bench.Tape.site(__ENV__, :checkout, [:count, :kind, :name])
  @outer Bench.Tape.site(__ENV__, :outer, [])

  def outer, do: Native.enter_0(@outer)
  def leave(token), do: Native.exit_tail(@outer, token)

  def empty(0, _kind, _name), do: :ok
  def empty(n, kind, name), do: empty(n - 1, kind, name)

  def noop(0, _kind, _name), do: :ok

  def noop(n, kind, name) do
    Native.noop_3(n, kind, name)
    noop(n - 1, kind, name)
  end

  # What the arguments of `event` cost by themselves.
  def map(0, _kind, _name), do: :ok

  def map(n, kind, name) do
    Native.noop_3(:checkout, %{count: n, kind: kind, name: name}, kind)
    map(n - 1, kind, name)
  end

  def entry(0, _kind, _name), do: :ok

  def entry(n, kind, name) do
    Native.enter_3(@site, n, kind, name)
    entry(n - 1, kind, name)
  end

  def call(0, _kind, _name), do: :ok

  def call(n, kind, name) do
    token = Native.enter_3(@site, n, kind, name)
    Native.exit(@site, token, kind)
    call(n - 1, kind, name)
  end

  def event(0, _kind, _name), do: :ok

  def event(n, kind, name) do
    Trace.event(:checkout, %{count: n, kind: kind, name: name})
    event(n - 1, kind, name)
  end

  def ets(0, _kind, _name, _table), do: :ok

  def ets(n, kind, name, table) do
    :ets.insert(table, {:erlang.unique_integer(), self(), :checkout, [n, kind, name]})
    ets(n - 1, kind, name, table)
  end
end

defmodule Bench.Capture do
  @moduledoc false

  alias Bench.Capture.Loops
  alias ElixirScope.Native
  alias Bench.{Machine, Samples, Tape}

  @kind :card
  @name "0123456789"

  # A table of events grows. It is emptied when it has as many rows as this.
  @rows 1_000_000

  def run(options) do
    check_answers()
    parts = %{"alone" => &alone/1, "off" => &off/1, "busy" => &kept_busy/1, "two" => &two_at_once/1}

    case options.given[:part] do
      nil -> for name <- ~w(alone off busy two), do: parts[name].(options)
      part when is_map_key(parts, part) -> parts[part].(options)
      part -> Bench.abort("--part is one of #{Enum.join(Map.keys(parts), ", ")}, got: #{part}")
    end
  end

  defp run_of(name), do: fn n -> apply(Loops, name, [n, @kind, @name]) end

  # -- Answers ----------------------------------------------------------------------------------------------------------

  defp check_answers do
    Tape.start!()

    Bench.isolated(fn ->
      token = Loops.outer()
      Loops.entry(3, @kind, @name)
      Loops.leave(token)
      Loops.call(2, @kind, @name)
      Loops.event(2, @kind, @name)
      Loops.noop(2, @kind, @name)

      events = ElixirScope.get_events(pid: self())
      entries = for %ElixirScope.Events.FunctionEntry{function: :checkout} = event <- events, do: event
      exits = for %ElixirScope.Events.FunctionExit{function: :checkout} = event <- events, do: event
      user = for %ElixirScope.Events.UserEvent{} = event <- events, do: event

      Bench.check!(
        Enum.map(entries, & &1.args) == for(n <- [3, 2, 1, 2, 1], do: [n, @kind, @name]),
        "five entries with their arguments, got #{inspect(entries)}"
      )

      [_, _, _ | calls] = Enum.map(entries, & &1.call_id)
      Bench.check!(Enum.map(exits, & &1.call_id) == calls, "each exit names its entry")
      Bench.check!(Enum.map(exits, & &1.result) == [@kind, @kind], "exits carry the result")

      Bench.check!(
        Enum.map(user, &{&1.name, &1.data}) ==
          for(n <- [2, 1], do: {:checkout, %{count: n, kind: @kind, name: @name}}),
        "two events with their data, got #{inspect(user)}"
      )
    end)

    Bench.check!(Tape.lost() == %{}, "nothing was lost")
  end

  # -- One process ------------------------------------------------------------------------------------------------------

  # The rings are drained after each round, so that no batch meets a full ring and the native thread has nothing left to do
  # while the next one is measured.
  defp alone(options) do
    rounds = Bench.size(options, 2_000, 20)
    batch = Bench.size(options, 1_000, 100)
    Tape.start!()
    full = :ets.new(:bench_full, [:ordered_set, :public])

    samples =
      Bench.isolated(fn ->
        Samples.in_turns(
          [
            %{name: :empty, run: run_of(:empty)},
            %{name: :noop, run: run_of(:noop)},
            %{name: :map, run: run_of(:map)},
            # entries alone go down 1,000 calls deep; leaving the outer call takes all of them back
            %{name: :entry, run: run_of(:entry), before: &Loops.outer/0, after: &Loops.leave/1},
            %{name: :call, run: run_of(:call)},
            %{name: :event, run: run_of(:event)},
            %{
              name: :ets_small,
              run: &ets(&1, small()),
              after: fn _ -> :ets.delete_all_objects(small()) end
            },
            %{name: :ets, run: &ets(&1, full), after: fn _ -> shrink(full) end}
          ],
          rounds,
          batch,
          &Tape.drain/0
        )
      end)

    expected = (rounds + max(div(rounds, 10), 1)) * (4 * batch + 2)
    account = Tape.account()

    Bench.check!(
      account.lost == 0 and account.stored + account.evicted >= expected,
      "#{expected} events on tape and none lost, got #{inspect(account)}"
    )

    loop = samples.empty
    net = Map.new(samples, fn {name, ns} -> {name, Samples.net(ns, loop)} end)
    halves = Enum.map(net.call, &(&1 / 2))
    against = fn samples, baseline, relation, aim -> {Samples.ratio(samples, baseline), relation, aim} end
    cheaper = fn samples, table -> {Samples.ratio(table, samples), :at_least, 8} end

    Bench.table(options, "One process, #{batch} calls a sample, #{rounds} samples, net of the loop", [
      {"empty 3-argument NIF call", net.noop, "ns", nil},
      {"entry call, against it", net.entry, "ns", against.(net.entry, net.noop, :at_most, 4)},
      {"one of entry and exit, against it", halves, "ns", against.(halves, net.noop, nil, nil)},
      {"Trace.event/2, against it", net.event, "ns", against.(net.event, net.noop, :at_most, 5)},
      {"empty call that is given such a map, against it", net.map, "ns",
       against.(net.map, net.noop, nil, nil)},
      {":ets.insert, table that grows to a million rows", net.ets, "ns", nil},
      {"entry call, cheaper than it by", net.entry, "ns", cheaper.(net.entry, net.ets)},
      {"Trace.event/2, cheaper than it by", net.event, "ns", cheaper.(net.event, net.ets)},
      {":ets.insert, table emptied after each sample", net.ets_small, "ns", nil},
      {"entry call, cheaper than that by", net.entry, "ns", cheaper.(net.entry, net.ets_small)},
      {"Trace.event/2, cheaper than that by", net.event, "ns", cheaper.(net.event, net.ets_small)}
    ])

    Bench.figure(options, "The rings were drained between the rounds. Lost: #{inspect(Tape.lost())}.")
  end

  defp ets(n, table), do: Loops.ets(n, @kind, @name, table)

  defp small do
    case :ets.whereis(:bench_small) do
      :undefined -> :ets.new(:bench_small, [:ordered_set, :public, :named_table])
      table -> table
    end
  end

  defp shrink(table) do
    if :ets.info(table, :size) >= @rows, do: :ets.delete_all_objects(table)
  end

  # -- Switched off -----------------------------------------------------------------------------------------------------

  defp off(options) do
    Tape.stop!()

    samples =
      Bench.isolated(fn ->
        Samples.in_turns(
          for(name <- [:empty, :noop, :event, :entry], do: %{name: name, run: run_of(name)}),
          Bench.size(options, 2_000, 20),
          Bench.size(options, 1_000, 100)
        )
      end)

    Bench.check!(ElixirScope.get_events() == {:error, :not_running}, "nothing runs")
    net = Map.new(samples, fn {name, ns} -> {name, Samples.net(ns, samples.empty)} end)

    Bench.table(options, "The recorder is not running, net of the loop", [
      {"empty 3-argument NIF call", net.noop, "ns", nil},
      {"Trace.event/2, against it", net.event, "ns", {Samples.ratio(net.event, net.noop), :at_most, 1.5}},
      {"entry call, against it", net.entry, "ns", {Samples.ratio(net.entry, net.noop), nil, nil}}
    ])

    switched_off(options)
  end

  # The recorder runs, and the module records nothing.
  defp switched_off(options) do
    Tape.start!()
    :ok = Native.switch(%{strategy: nil, rules: [{Loops, false}]})

    samples =
      Bench.isolated(fn ->
        Samples.in_turns(
          for(name <- [:empty, :noop, :event, :entry, :call], do: %{name: name, run: run_of(name)}),
          Bench.size(options, 2_000, 20),
          Bench.size(options, 1_000, 100)
        )
      end)

    Bench.check!(ElixirScope.get_events(module: Loops) == [], "nothing of the module is on tape")
    :ok = Native.switch(%{strategy: nil, rules: []})
    net = Map.new(samples, fn {name, ns} -> {name, Samples.net(ns, samples.empty)} end)
    halves = Enum.map(net.call, &(&1 / 2))

    Bench.table(options, "The recorder runs, the module is switched off, net of the loop", [
      {"empty 3-argument NIF call", net.noop, "ns", nil},
      {"Trace.event/2, against it", net.event, "ns", {Samples.ratio(net.event, net.noop), nil, nil}},
      {"entry call, against it", net.entry, "ns", {Samples.ratio(net.entry, net.noop), :at_most, 1.5}},
      {"one of entry and exit, against it", halves, "ns", {Samples.ratio(halves, net.noop), :at_most, 1.5}}
    ])
  end

  # -- While the native thread drains -----------------------------------------------------------------------------------

  # Batches far larger than what is drained between them: the native thread works on the other core all the time.
  defp kept_busy(options) do
    batch = Bench.size(options, 50_000, 1_000)
    rounds = Bench.size(options, 100, 5)
    Tape.start!(capture: [buffer_size: 400_000, total_bytes: 64 * 1_048_576])

    {samples, cpu} =
      with_cpu(fn ->
        Bench.isolated(fn ->
          Samples.in_turns(
            for(name <- [:empty, :noop, :call, :event], do: %{name: name, run: run_of(name)}),
            rounds,
            batch
          )
        end)
      end)

    account = Tape.account()
    net = Map.new(samples, fn {name, ns} -> {name, Samples.net(ns, samples.empty)} end)
    halves = Enum.map(net.call, &(&1 / 2))

    Bench.table(options, "Back to back, #{batch} calls a sample, while the native thread drains", [
      {"empty 3-argument NIF call", net.noop, "ns", nil},
      {"one of entry and exit, against it", halves, "ns", {Samples.ratio(halves, net.noop), nil, nil}},
      {"Trace.event/2, against it", net.event, "ns", {Samples.ratio(net.event, net.noop), nil, nil}}
    ])

    events = account.stored + account.evicted
    Bench.check!(events + account.lost >= 3 * batch * rounds, "every event is stored, evicted or lost")

    Bench.figure(options, "Lost: #{inspect(Tape.lost())}. #{recorder_cpu(cpu, events)}")
  end

  # -- Two processes ----------------------------------------------------------------------------------------------------

  # Method. Workers are bound to a scheduler each. They run slices of 100 to 300 us, and begin each slice together (they spin
  # at a gate), so that both are at work all the while. A slice is timed by its own worker, and the median of thousands
  # of slices is the time that nobody interrupted, which is CPU time. A round fits into the rings, which are drained after
  # it; the native thread drains meanwhile on the same two cores, which shows in p99. Each round measures one process alone
  # (on either scheduler in turn), then two. The empty calls show what the machine itself takes when both cores work.
  defp two_at_once(options) do
    if System.schedulers_online() < 2 do
      IO.puts("Two processes at once: not measured on one scheduler")
    else
      rounds = Bench.size(options, 40, 2)
      Tape.start!(capture: [buffer_size: 400_000, total_bytes: 64 * 1_048_576])

      samples =
        for round <- 1..rounds, name <- [:empty, :noop, :call, :event], reduce: %{} do
          samples ->
            alone = slices_on([1 + rem(round, 2)], name, options)
            both = slices_on([1, 2], name, options)
            Map.update(samples, name, {alone, both}, fn {a, b} -> {alone ++ a, both ++ b} end)
        end

      slices = rounds * slices(options)
      Bench.check!(length(elem(samples.event, 1)) == 2 * slices, "each worker ran each slice")

      rows =
        for {name, what, parts, aim} <- [
              {:empty, "the loop itself", 1, nil},
              {:noop, "empty 3-argument NIF call", 1, nil},
              {:call, "one of entry and exit", 2, 1.1},
              {:event, "Trace.event/2", 1, 1.1}
            ],
            {alone, both} = Map.fetch!(samples, name),
            {label, values} <- [{"alone", alone}, {"two at once", both}] do
          ratio =
            if label == "two at once",
              do: {Samples.ratio(both, alone), if(aim, do: :at_most), aim}

          {"#{what}, #{label}", Enum.map(values, &(&1 / parts)), "ns", ratio}
        end

      Bench.table(options, "CPU time of one event, loop included, one process and two at once", rows)
      Bench.figure(options, "Lost: #{inspect(Tape.lost())}.")
    end
  end

  defp slices(options), do: Bench.size(options, 100, 5)

  defp slices_on(schedulers, name, options) do
    slice = Bench.size(options, 2_000, 100)
    gate = :atomics.new(1, [])
    run = run_of(name)
    parent = self()

    work = fn ->
      run.(slice)
      times = for n <- 1..slices(options), do: together(gate, n * length(schedulers), run, slice)
      send(parent, {self(), times})
    end

    workers =
      for scheduler <- schedulers do
        :erlang.spawn_opt(work, [:link, scheduler: scheduler, min_heap_size: 65_536])
      end

    times = Enum.flat_map(workers, &answer/1)
    Tape.drain()
    times
  end

  defp together(gate, arrivals, run, slice) do
    :atomics.add(gate, 1, 1)
    spin(gate, arrivals)
    {ns, _} = Samples.timed(fn -> run.(slice) end)
    ns / slice
  end

  defp spin(gate, arrivals),
    do: if(:atomics.get(gate, 1) < arrivals, do: spin(gate, arrivals), else: :ok)

  defp answer(worker) do
    receive do
      {^worker, times} -> times
    end
  end

  # ---------------------------------------------------------------------------------------------------------------------

  defp with_cpu(work) do
    before = Machine.cpu_ns()
    result = work.()
    Tape.drain()
    later = Machine.cpu_ns()
    {result, before && later && Map.get(later, :recorder, 0) - Map.get(before, :recorder, 0)}
  end

  defp recorder_cpu(nil, _events), do: ""

  defp recorder_cpu(cpu, events),
    do:
      "The library's own threads took #{Bench.number(cpu / max(events, 1))} ns of CPU for each event stored."
end

options = Bench.open("Capture: one event", part: :string)
Bench.Capture.run(options)
