# What it costs to have the VM's tracer record, against a tracer that does nothing, and against a process that gets messages.
#
#     mix run bench/trace.exs [--smoke] [--part messages|calls|armed]

Code.require_file("support/all.exs", __DIR__)

defmodule Bench.Trace.Subjects do
  @moduledoc false

  # What is traced. All loops have one shape: a counter and the arguments that do not change.

  def rounds(0, _partner), do: :ok

  def rounds(n, partner) do
    send(partner, {:ping, self(), n})

    receive do
      {:pong, ^n} -> :ok
    end

    rounds(n - 1, partner)
  end

  def partner do
    receive do
      {:ping, from, n} -> send(from, {:pong, n})
    end

    partner()
  end

  def empty(0, _kind, _name), do: :ok

  def empty(n, kind, name) do
    __MODULE__.untraced(n, kind, name)
    empty(n - 1, kind, name)
  end

  def calls(0, _kind, _name), do: :ok

  def calls(n, kind, name) do
    __MODULE__.traced(n, kind, name)
    calls(n - 1, kind, name)
  end

  def untraced(_n, kind, _name), do: kind
  def traced(_n, kind, _name), do: kind
end

defmodule Bench.Trace do
  @moduledoc false

  alias Bench.Trace.Subjects
  alias Bench.{NoopTracer, Samples, Tape}
  alias ElixirScope.Native

  @kind :card
  @name "0123456789"
  @function {Subjects, :traced, 3}

  # As `ElixirScope.Tracing` sets it, so that it is told who sent a message.
  @senders [
    {[:"$1", :undefined, :_], [], [{:message, :"$1"}]},
    {[:_, :"$1", :_], [], [{:message, :"$1"}]}
  ]

  # Limits that are counted and never met.
  @trace %{
    events: [:call, :return, :send, :receive],
    args: true,
    returns: true,
    max: 1_000_000_000_000,
    rate: 1_000_000_000,
    for: 86_400_000,
    scope: :members,
    only_inside: nil,
    follow: nil,
    exact: false
  }

  def run(options) do
    NoopTracer.build!()
    Tape.start!()
    {:ok, number} = Native.trace_open(@trace)
    :ok = Native.trace_function(@function, "bench/trace.exs", 1, [number])
    :ok = Native.trace_record(number)
    parts = %{"messages" => &messages/2, "calls" => &calls/2, "armed" => &armed/2}

    case options.given[:part] do
      nil -> for name <- ~w(messages calls armed), do: parts[name].(options, number)
      part when is_map_key(parts, part) -> parts[part].(options, number)
      part -> Bench.abort("--part is one of #{Enum.join(Map.keys(parts), ", ")}, got: #{part}")
    end

    Native.trace_end(number, :stopped)
    Native.trace_free(number)
  end

  # -- Who is told --------------------------------------------------------------------------------------------------------

  defp flag(pids, flags, tracer) do
    for pid <- pids, do: 1 = :erlang.trace(pid, true, flags ++ tracer)
    :ok
  end

  # What a process tracer was sent is taken before the next batch begins.
  defp clear(pids, tracer) do
    for pid <- pids, do: :erlang.trace(pid, false, [:all])

    with [tracer: process] when is_pid(process) <- tracer do
      for pid <- pids do
        delivered = :erlang.trace_delivered(pid)

        receive do
          {:trace_delivered, ^pid, ^delivered} -> :ok
        end
      end

      ask(process)
    end
  end

  defp ours, do: [{:tracer, Native, 0}]
  defp noop, do: [{:tracer, NoopTracer, 0}]

  # A process that takes what it is sent, and counts it. Where it has a core of its own, what it does there is not seen in the time of
  # whom it is told of; on the same one all of it is.
  defp collector(options \\ []), do: :erlang.spawn_opt(fn -> collect(0) end, [:link] ++ options)

  defp collect(n) do
    receive do
      {:asked, from} ->
        send(from, {:collected, self(), n})
        collect(n)

      _trace_message ->
        collect(n + 1)
    end
  end

  defp ask(process) do
    send(process, {:asked, self()})

    receive do
      {:collected, ^process, n} -> n
    end
  end

  # -- Messages -----------------------------------------------------------------------------------------------------------

  # Both processes stay on one scheduler, so that no batch waits for another core to wake up.
  defp messages(options, number) do
    batch = Bench.size(options, 500, 20)
    rounds = Bench.size(options, 1_000, 5)

    {samples, told, collected} =
      on_one_scheduler(fn ->
        partner = :erlang.spawn_opt(&Subjects.partner/0, [:link, scheduler: 1])
        pids = [self(), partner]
        Native.trace_members(number, pids, true)
        collector = collector()
        beside = collector(scheduler: 1)

        variant = fn name, tracer, senders ->
          %{
            name: name,
            before: fn ->
              :erlang.trace_pattern(:receive, senders, [])
              if tracer, do: flag(pids, [:send, :receive], tracer)
            end,
            run: &Subjects.rounds(&1, partner),
            after: fn _ ->
              if tracer, do: clear(pids, tracer)
              :erlang.trace_pattern(:receive, true, [])
            end
          }
        end

        samples =
          Samples.in_turns(
            [
              variant.(:plain, nil, true),
              variant.(:noop, noop(), true),
              variant.(:noop_told, noop(), @senders),
              variant.(:ours, ours(), @senders),
              variant.(:process, [tracer: collector], true),
              %{
                variant.(:beside, [tracer: beside], true)
                | run: fn n ->
                    Subjects.rounds(n, partner)
                    ask(beside)
                  end
              },
              %{
                variant.(:drained, ours(), @senders)
                | run: fn n ->
                    Subjects.rounds(n, partner)
                    Tape.drain()
                  end
              }
            ],
            rounds,
            batch,
            &Tape.drain/0
          )

        Native.trace_members(number, pids, false)
        told = ElixirScope.count_events(pid: pids, event_type: [:message_send, :message_receive])
        {samples, told, ask(collector)}
      end)

    # Each round trip is two messages, each sent and received.
    each = 4 * batch * (rounds + max(div(rounds, 10), 1))
    evicted = ElixirScope.status().store.evicted
    Bench.check!(collected == each, "a process tracer got #{each} messages, got #{collected}")

    Bench.check!(
      told == 2 * each or (evicted > 0 and told + evicted >= 2 * each),
      "#{2 * each} events on tape, got #{told} and #{evicted} evicted"
    )

    Bench.check!(Tape.lost() == %{}, "nothing was lost, got #{inspect(Tape.lost())}")
    %{plain: plain, noop: noop, noop_told: noop_told, ours: ours, process: process} = samples
    %{beside: beside, drained: drained} = samples

    Bench.table(
      options,
      "A round trip of two messages between two processes, each sent and received, #{batch} a sample",
      [
        {"not traced", plain, "ns", nil},
        {"traced by a NIF that does nothing", noop, "ns", {Samples.ratio(noop, plain), nil, nil}},
        {"the same, told who sent what arrives", noop_told, "ns",
         {Samples.ratio(noop_told, plain), nil, nil}},
        {"recorded, against the NIF that does nothing", ours, "ns",
         {Samples.ratio(ours, noop), :at_most, 1.15}},
        {"recorded, against the NIF that is told who sent it", ours, "ns",
         {Samples.ratio(ours, noop_told), nil, nil}},
        {"traced by a process", process, "ns", {Samples.ratio(process, plain), nil, nil}},
        {"recorded, cheaper than that by", ours, "ns", {Samples.ratio(process, ours), :at_least, 2}},
        {"recorded, cheaper by, net of the round trip", Samples.net(ours, plain), "ns",
         {Samples.ratio(Samples.net(process, plain), Samples.net(ours, plain)), nil, nil}},
        {"traced by a process on the same scheduler, until it has taken all", beside, "ns",
         {Samples.ratio(beside, plain), nil, nil}},
        {"recorded, until all is in the store, cheaper than that by", drained, "ns",
         {Samples.ratio(beside, drained), nil, nil}}
      ]
    )
  end

  # -- Calls --------------------------------------------------------------------------------------------------------------

  @returns [{:_, [], [{:return_trace}]}]

  defp calls(options, number) do
    batch = Bench.size(options, 500, 20)
    rounds = Bench.size(options, 1_000, 5)

    {samples, told, collected} =
      on_one_scheduler(fn ->
        pids = [self()]
        Native.trace_members(number, pids, true)
        collector = collector()

        variant = fn name, tracer, pattern ->
          %{
            name: name,
            before: fn ->
              :erlang.trace_pattern(@function, pattern, [:local])
              flag(pids, [:call], tracer)
            end,
            run: &Subjects.calls(&1, @kind, @name),
            after: fn _ ->
              clear(pids, tracer)
              :erlang.trace_pattern(@function, false, [:local])
            end
          }
        end

        samples =
          Samples.in_turns(
            [
              %{name: :plain, run: &Subjects.empty(&1, @kind, @name)},
              variant.(:noop, noop(), true),
              variant.(:ours, ours(), true),
              variant.(:process, [tracer: collector], true),
              variant.(:noop_returns, noop(), @returns),
              variant.(:ours_returns, ours(), @returns),
              variant.(:process_returns, [tracer: collector], @returns)
            ],
            rounds,
            batch,
            &Tape.drain/0
          )

        Native.trace_members(number, pids, false)
        {samples, ElixirScope.count_events(pid: self(), function: :traced), ask(collector)}
      end)

    each = 3 * batch * (rounds + max(div(rounds, 10), 1))
    evicted = ElixirScope.status().store.evicted
    Bench.check!(collected == each, "a process tracer got #{each} messages, got #{collected}")

    Bench.check!(
      told == each or (evicted > 0 and told + evicted >= each),
      "#{each} events on tape, got #{told} and #{evicted} evicted"
    )

    Bench.check!(Tape.lost() == %{}, "nothing was lost, got #{inspect(Tape.lost())}")
    net = Map.new(samples, fn {name, ns} -> {name, Samples.net(ns, samples.plain)} end)
    against = fn name, baseline -> Samples.ratio(net[name], net[baseline]) end

    Bench.table(options, "A traced call with three arguments, net of an untraced one, #{batch} a sample", [
      {"by a NIF that does nothing", net.noop, "ns", nil},
      {"recorded, against it", net.ours, "ns", {against.(:ours, :noop), :at_most, 1.15}},
      {"by a process", net.process, "ns", nil},
      {"recorded, cheaper than that by", net.ours, "ns", {against.(:process, :ours), :at_least, 2}},
      {"with its return, by a NIF that does nothing", net.noop_returns, "ns", nil},
      {"with its return, recorded, against it", net.ours_returns, "ns",
       {against.(:ours_returns, :noop_returns), :at_most, 1.15}},
      {"with its return, by a process", net.process_returns, "ns", nil},
      {"with its return, recorded, cheaper than that by", net.ours_returns, "ns",
       {against.(:process_returns, :ours_returns), :at_least, 2}}
    ])
  end

  # -- Calls that another process is traced for -----------------------------------------------------------------------------

  defp armed(options, number) do
    batch = Bench.size(options, 1_000, 100)
    rounds = Bench.size(options, 1_000, 5)

    {samples, collected} =
      on_one_scheduler(fn ->
        other = spawn_link(fn -> Process.sleep(:infinity) end)
        Native.trace_members(number, [other], true)
        collector = collector()

        variant = fn name, tracer ->
          %{
            name: name,
            before: fn ->
              1 = :erlang.trace_pattern(@function, true, [:local])
              flag([other], [:call], tracer)
            end,
            run: &Subjects.calls(&1, @kind, @name),
            after: fn _ ->
              clear([other], tracer)
              :erlang.trace_pattern(@function, false, [:local])
            end
          }
        end

        samples =
          Samples.in_turns(
            [
              %{name: :plain, run: &Subjects.empty(&1, @kind, @name)},
              variant.(:process, tracer: collector),
              variant.(:ours, ours())
            ],
            rounds,
            batch
          )

        {samples, ask(collector)}
      end)

    Bench.check!(collected == 0, "calls of others are not told")
    %{plain: plain, process: process, ours: ours} = samples

    # With the loop: what the breakpoint adds is less than it.
    Bench.table(options, "A call that only another process is traced for, loop included, #{batch} a sample", [
      {"not traced", plain, "ns", nil},
      {"the VM's breakpoint, traced by a process", process, "ns", {Samples.ratio(process, plain), nil, nil}},
      {"the same, recorded, against it", ours, "ns", {Samples.ratio(ours, process), :at_most, 1.05}}
    ])
  end

  # ---------------------------------------------------------------------------------------------------------------------

  defp on_one_scheduler(work) do
    Bench.isolated(fn ->
      :erlang.process_flag(:scheduler, 1)
      work.()
    end)
  end
end

options = Bench.open("Trace", part: :string)
Bench.Trace.run(options)
