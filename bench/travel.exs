# What it costs a server with a large state to be recorded, and one that replaces a large part of it at once; and how long questions
# about the past take on a million changes.
#
#     mix run bench/travel.exs [--smoke] [--changes N]

Code.require_file("support/all.exs", __DIR__)

for name <- [Plain, Recorded, Copied, Serialised] do
  defmodule Module.concat(Bench.Travel, name) do
    @moduledoc false
    use GenServer
    @compile {:debug_info, true}
    if name == Recorded, do: use(ElixirScope.Instrument)

    @impl true
    def init(state), do: {:ok, state}

    @impl true
    def handle_call(:count, _from, state) do
      state = %{state | count: state.count + 1}
      kept(state)
      {:reply, state.count, state}
    end

    def handle_call({:put, key, name}, _from, state),
      do: {:reply, :ok, Map.put(state, key, :persistent_term.get(name))}

    defp kept(state) do
      _ = state

      unquote(
        case name do
          Copied -> quote(do: :ets.insert(:bench_states, {:state, var!(state)}))
          Serialised -> quote(do: if(byte_size(:erlang.term_to_binary(var!(state))) == 0, do: exit(:empty)))
          _plain -> :ok
        end
      )
    end
  end
end

defmodule Bench.Travel do
  @moduledoc false

  alias Bench.{Samples, Tape}
  alias ElixirScope.Native

  @site Bench.Tape.site(__ENV__, :state, [])
  @kinds [
    plain: Bench.Travel.Plain,
    recorded: Bench.Travel.Recorded,
    copied: Bench.Travel.Copied,
    serialised: Bench.Travel.Serialised
  ]

  # -- A server ---------------------------------------------------------------------------------------------------------

  def server(options) do
    :ets.new(:bench_states, [:named_table, :public])
    Tape.start!()
    state = large()

    servers =
      for {name, module} <- @kinds, into: %{} do
        {:ok, pid} = GenServer.start_link(module, state)
        {name, pid}
      end

    rounds = Bench.size(options, 300, 3)
    batch = Bench.size(options, 100, 10)
    variants = for {name, _module} <- @kinds, do: %{name: name, run: &ask(&1, servers[name])}
    samples = Bench.isolated(fn -> Samples.in_turns(variants, rounds, batch, &Tape.drain/0) end)
    calls = (rounds + max(div(rounds, 10), 1)) * batch
    pid = servers.recorded

    Bench.check!(Tape.lost() == %{}, "nothing was lost, got #{inspect(Tape.lost())}")
    Bench.check!(:sys.get_state(pid).count == calls, "each call was answered")

    Bench.check!(
      ElixirScope.get_state_at(pid, :last) === :sys.get_state(pid),
      "the last state is what the server holds"
    )

    Bench.check!(ElixirScope.status().timelines.mismatches == 0, "no check disagreed")
    ratio = fn name, relation, aim -> {Samples.ratio(samples[name], samples.plain), relation, aim} end

    Bench.table(options, "A round trip of GenServer.call that changes one field of a state of 5,000 terms", [
      {"plain", samples.plain, "ns", nil},
      {"the server records its callbacks", samples.recorded, "ns", ratio.(:recorded, :at_most, 1.3)},
      {"the server copies its state by :ets.insert", samples.copied, "ns", ratio.(:copied, nil, nil)},
      {"the server makes bytes of it by :erlang.term_to_binary", samples.serialised, "ns",
       ratio.(:serialised, nil, nil)}
    ])

    Enum.each(servers, fn {_name, pid} -> GenServer.stop(pid) end)
  end

  # -- A change that no delta tells ---------------------------------------------------------------------------------------

  def swaps(options) do
    Tape.start!(capture: [buffer_bytes: 8 * 1_048_576, total_bytes: 32 * 1_048_576])
    keys = Bench.size(options, 200_000, 2_000)
    rounds = Bench.size(options, 200, 4)
    :persistent_term.put(:bench_one, Map.new(1..keys, &{&1, &1}))
    :persistent_term.put(:bench_other, Map.new(1..keys, &{&1, -&1}))

    [plain, recorded] =
      for module <- [Bench.Travel.Plain, Bench.Travel.Recorded] do
        {:ok, pid} = GenServer.start_link(module, %{count: 0, big: :persistent_term.get(:bench_one)})

        samples =
          for n <- 1..rounds do
            name = if rem(n, 2) == 1, do: :bench_other, else: :bench_one
            {ns, :ok} = Samples.timed(fn -> GenServer.call(pid, {:put, :big, name}) end)
            ns
          end

        {:ok, told, meta} =
          if module == Bench.Travel.Recorded,
            do: ElixirScope.fetch_state_at(pid, :last),
            else: {:ok, :sys.get_state(pid), %{quality: :exact}}

        Bench.check!(
          meta.quality == :approximate or told === :sys.get_state(pid),
          "the last state is what the server holds, or said to be approximate"
        )

        GenServer.stop(pid)
        samples
      end

    Bench.table(
      options,
      "A call in which a server replaces a map of #{Bench.number(keys)} keys, again and again",
      [
        {"plain", plain, "ns", nil},
        {"the server records its callbacks", recorded, "ns", nil}
      ]
    )
  end

  defp ask(0, _server), do: :ok

  defp ask(n, server) do
    GenServer.call(server, :count)
    ask(n - 1, server)
  end

  defp large do
    items = for n <- 1..18, do: {:"field_#{n}", for(m <- 1..30, do: %{id: m, tags: [n, m], price: m * 1.5})}
    %{count: 0, name: "cart", items: Map.new(items), log: Enum.to_list(1..50)}
  end

  # -- The past ---------------------------------------------------------------------------------------------------------

  def past(options) do
    changes = Keyword.get(options.given, :changes, Bench.size(options, 1_000_000, 5_000))
    limit = max(changes * 160, 64 * 1_048_576)

    Tape.start!(
      storage: [memory_limit: limit],
      capture: [buffer_bytes: 4 * 1_048_576, total_bytes: 16 * 1_048_576]
    )

    parent = self()
    before = ElixirScope.status().store.bytes.total

    pid =
      spawn_link(fn ->
        send(parent, {:times, record(state(), changes)})
        Process.sleep(:infinity)
      end)

    times =
      receive do
        {:times, times} -> times
      end

    Tape.drain()
    Bench.check!(Tape.lost() == %{}, "nothing was lost, got #{inspect(Tape.lost())}")
    status = ElixirScope.status()
    timelines = status.timelines

    Bench.check!(
      timelines.changes == changes + 1 and timelines.evicted == 0,
      "#{changes} changes are kept, got #{inspect(timelines)}"
    )

    bytes = timelines.bytes / changes
    whole = (status.store.bytes.total - before) / changes
    encoded = byte_size(Native.term_encode(state(), %{whole: true}))

    Bench.figure(
      options,
      "A state of #{Bench.number(encoded)} bytes, #{Bench.number(changes)} changes of one integer field: #{Bench.number(bytes)} bytes a change " <>
        "in the timeline, index and keyframes included (at most 32: #{Bench.verdict(bytes <= 32)}); with its event in the store " <>
        "#{Bench.number(whole)}."
    )

    rounds = Bench.size(options, 2_000, 20)
    times = List.to_tuple(times)
    :rand.seed(:exsss, {1, 2, 3})

    states =
      for _ <- 1..rounds do
        {time, count} = elem(times, :rand.uniform(tuple_size(times)) - 1)
        {ns, answer} = Samples.timed(fn -> ElixirScope.get_state_at(pid, time) end)

        Bench.check!(
          answer.count == count,
          "the state at #{time} has the count #{count}, got #{answer.count}"
        )

        ns
      end

    last =
      for _ <- 1..rounds do
        {time, count} = elem(times, :rand.uniform(tuple_size(times)) - 1)
        {ns, answer} = Samples.timed(fn -> ElixirScope.last_change(pid, [:count], before: time) end)

        Bench.check!(
          answer.new_state.count == count,
          "the last change is to #{count}, got #{answer.new_state.count}"
        )

        ns
      end

    never =
      for _ <- 1..rounds do
        {ns, answer} = Samples.timed(fn -> ElixirScope.last_change(pid, [:sessions, 3, :user]) end)
        Bench.check!(answer == {:error, :never_changed}, "it never changed, got #{inspect(answer)}")
        ns
      end

    diffs =
      for _ <- 1..rounds do
        [{from, old}, {to, new}] =
          Enum.sort(for _ <- 1..2, do: elem(times, :rand.uniform(tuple_size(times)) - 1))

        {ns, {:ok, found}} = Samples.timed(fn -> ElixirScope.get_state_diff(pid, from, to) end)
        expected = if old == new, do: [], else: [%{path: [:count], op: :changed, old: old, new: new}]
        Bench.check!(found == expected, "the difference is #{inspect(expected)}, got #{inspect(found)}")
        ns
      end

    Bench.table(
      options,
      "Questions about one process with #{Bench.number(changes)} changes, as Elixir asks them",
      [
        {"get_state_at", states, "ns", {nil, :p99, 200_000}},
        {"last_change, of the path that changes always", last, "ns", {nil, :p99, 200_000}},
        {"last_change, of one that never did", never, "ns", {nil, :p99, 200_000}},
        {"get_state_diff", diffs, "ns", {nil, :p99, 1_000_000}}
      ]
    )
  end

  # Instants, with the count that the state has then: one in a thousand changes.
  defp record(state, changes) do
    Native.state_seen(@site, :"$elixir_scope_none", state)
    every = max(div(changes, 1_000), 1)
    record(state, 1, changes, every, [])
  end

  defp record(_state, n, changes, _every, times) when n > changes, do: times

  defp record(state, n, changes, every, times) do
    new = %{state | count: n}
    Native.state_seen(@site, state, new)
    times = if rem(n, every) == 0, do: [{ElixirScope.now(), n} | times], else: times
    if rem(n, 2_000) == 0, do: Tape.drain()
    record(new, n + 1, changes, every, times)
  end

  # Some 10 KB when it is encoded.
  defp state do
    sessions =
      for n <- 1..150,
          into: %{},
          do: {n, %{user: "user #{n}", seen: n * 1_000, roles: [:reader, :writer], at: {n, n * 1.5}}}

    %{count: 0, name: "server", sessions: sessions, log: for(n <- 1..100, do: {n, "entry #{n}"})}
  end
end

options = Bench.open("Time travel", changes: :integer)
Bench.Travel.server(options)
Bench.Travel.swaps(options)
Bench.Travel.past(options)
