# A host that builds a binary by appending to it, with the binary recorded at each step. The emulator appends in place as long
# as nobody else looks at the binary through its interface: recording must not end that, or the host becomes quadratic.
#
#     mix run bench/append.exs [--smoke]

Code.require_file("support/all.exs", __DIR__)

defmodule Bench.Append.Loops do
  @moduledoc false

  require ElixirScope.Trace
  alias ElixirScope.{Native, Trace}

  @site Bench.Tape.site(__ENV__, :append, [:binary])

  def plain(0, binary), do: binary
  def plain(n, binary), do: plain(n - 1, <<binary::binary, n::8>>)

  def event(0, binary), do: binary

  def event(n, binary) do
    Trace.event(:append, binary)
    event(n - 1, <<binary::binary, n::8>>)
  end

  def call(0, binary), do: binary

  def call(n, binary) do
    token = Native.enter_1(@site, binary)
    Native.exit(@site, token, binary)
    call(n - 1, <<binary::binary, n::8>>)
  end
end

defmodule Bench.Append do
  @moduledoc false

  alias Bench.Append.Loops
  alias Bench.{Samples, Tape}

  @steps 80_000

  def run(options) do
    check_answers()
    Tape.start!()

    steps = Bench.size(options, @steps, 2_000)
    rounds = Bench.size(options, 40, 3)
    samples = measure(steps, rounds)
    lost = Tape.lost()

    against = fn name, aim ->
      {Samples.ratio(samples[name], samples.plain), if(aim, do: :at_most), aim}
    end

    Bench.table(options, "One of #{Bench.number(steps)} appends", [
      {"unrecorded", samples.plain, "ns", nil},
      {"Trace.event/2 with the binary at each step", samples.event, "ns", against.(:event, 10)},
      {"entry and exit with the binary at each step", samples.call, "ns", against.(:call, nil)}
    ])

    Bench.figure(options, "Default settings; lost: #{inspect(lost)}.")

    # Linear means that one append costs the same however many there are.
    for steps <- Bench.size(options, [10_000, 20_000, 40_000, 160_000], []) do
      samples = measure(steps, div(rounds, 4))

      Bench.table(options, "One of #{Bench.number(steps)} appends", [
        {"unrecorded", samples.plain, "ns", nil},
        {"Trace.event/2", samples.event, "ns", {Samples.ratio(samples.event, samples.plain), nil, nil}}
      ])
    end
  end

  defp measure(steps, rounds) do
    Bench.isolated(fn ->
      Samples.in_turns(
        [
          %{name: :plain, run: &Loops.plain(&1, <<>>)},
          %{name: :event, run: &Loops.event(&1, <<>>)},
          %{name: :call, run: &Loops.call(&1, <<>>)}
        ],
        rounds,
        steps,
        &Tape.drain/0
      )
    end)
  end

  # What is recorded is the binary as it was at each step, though it went on growing in place.
  defp check_answers do
    steps = 3_000
    # rings that hold it all
    Tape.start!(capture: [buffer_bytes: 32 * 1_048_576, total_bytes: 64 * 1_048_576])

    Bench.isolated(fn ->
      plain = Loops.plain(steps, <<>>)
      Bench.check!(Loops.event(steps, <<>>) == plain, "the host's binary is what it is unrecorded")
      Bench.check!(Loops.call(steps, <<>>) == plain, "the host's binary is what it is unrecorded")

      events = ElixirScope.get_events(pid: self(), event_type: :user_event, limit: :infinity)
      Bench.check!(length(events) == steps, "#{steps} events, got #{length(events)}")

      for {event, size} <- Enum.zip(events, 0..(steps - 1)) do
        as_it_was = binary_part(plain, 0, size)
        Bench.check!(same?(event.data, as_it_was), "the binary at step #{size}, got #{inspect(event.data)}")
      end
    end)
  end

  defp same?(binary, as_it_was) when is_binary(binary), do: binary == as_it_was

  defp same?(%ElixirScope.Truncated{total: total, prefix: prefix}, as_it_was) do
    total == byte_size(as_it_was) and String.starts_with?(as_it_was, prefix)
  end
end

options = Bench.open("Appending to a binary that is recorded at each step")
Bench.Append.run(options)
