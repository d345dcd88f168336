# What it costs to record a change of a state, by the size of the state; against copying it, and against serialising it.
#
#     mix run bench/state.exs [--smoke]

Code.require_file("support/all.exs", __DIR__)

defmodule Bench.State do
  @moduledoc false

  alias Bench.{Samples, Tape}
  alias ElixirScope.Native

  @site Bench.Tape.site(__ENV__, :state, [])

  defmodule Cart do
    @moduledoc false
    defstruct name: "cart",
              count: 0,
              items: %{},
              log: [],
              flags: [:open, :new],
              owner: {:user, 17},
              total: 12.5
  end

  def run(options) do
    rounds = Bench.size(options, 300, 5)
    Tape.start!()

    # name, what, old and new, what of it an aim is for, bytes of a delta at most
    subjects =
      for {name, what, old, new, aim, bytes} <- [
            field(),
            entry(1_000),
            entry(100_000),
            added(1_000),
            prepended(),
            rebuilt()
          ] do
        check_delta(what, old, new, bytes)
        keep(name, old, new)
        %{name: name, what: what, aim: aim}
      end

    check_tape(hd(subjects))
    expected_before = stored()
    plain = [%{name: :empty, run: &empty(&1, 1, 2)}, %{name: :noop, run: &noop(&1, 1, 2)}]
    changes = for %{name: name} <- subjects, do: Map.put(change(name), :name, name)
    batch = 500

    samples = Bench.isolated(fn -> Samples.in_turns(plain ++ changes, rounds, batch, &Tape.drain/0) end)

    # and the whole state before each batch
    recorded = (rounds + max(div(rounds, 10), 1)) * (batch + 1) * length(changes)
    added = stored() - expected_before
    Bench.check!(added == recorded, "#{recorded} changes on tape and none lost, got #{added}")

    net = Map.new(samples, fn {name, ns} -> {name, Samples.net(ns, samples.empty)} end)

    rows =
      for %{name: name, what: what, aim: aim} <- subjects do
        median = Samples.summary(net[name]).median
        {what <> verdict(median, aim), net[name], "ns", {Samples.ratio(net[name], net.noop), nil, nil}}
      end

    Bench.table(
      options,
      "One change recorded, #{batch} a sample, #{rounds} samples, net of the loop; against an empty call",
      [
        {"empty 3-argument NIF call", net.noop, "ns", nil} | rows
      ]
    )

    whole(options, hd(subjects))
    Bench.figure(options, "Lost: #{inspect(Tape.lost())}.")
  end

  defp verdict(_median, nil), do: ""
  defp verdict(median, aim), do: " (median at most #{aim} ns: #{Bench.verdict(median <= aim)})"

  # States outside of the heap of who measures, which is collected before each batch: and so that old and new still share what
  # did not change, which they would not in a message.
  defp keep(name, old, new), do: :persistent_term.put({__MODULE__, name}, {old, new})
  defp kept(name), do: :persistent_term.get({__MODULE__, name})

  defp change(name) do
    %{
      run: fn n ->
        {old, new} = kept(name)
        seen(n, old, new)
      end,
      # the states of all subjects are those of one module to the recorder: it has to be told of the other one
      before: fn -> Native.state_seen(@site, :"$elixir_scope_none", elem(kept(name), 0)) end
    }
  end

  # What the same change costs where the state is copied to another process, or made into bytes.
  defp whole(options, %{name: name}) do
    # a literal would be sent as it is
    state = kept(name) |> elem(1) |> :erlang.term_to_binary() |> :erlang.binary_to_term()
    sink = spawn_link(fn -> discard() end)
    rounds = Bench.size(options, 300, 5)

    samples =
      Bench.isolated(fn ->
        Samples.in_turns(
          [
            %{name: :empty, run: &empty(&1, 1, 2)},
            Map.put(change(name), :name, :delta),
            %{name: :send, run: &sent(&1, sink, state)},
            %{name: :bytes, run: &bytes(&1, state)}
          ],
          rounds,
          20,
          &Tape.drain/0
        )
      end)

    net = Map.new(samples, fn {name, ns} -> {name, Samples.net(ns, samples.empty)} end)

    Bench.table(options, "One field of a state of 5,000 terms, against the whole state", [
      {"recorded change", net.delta, "ns", nil},
      {"the state sent to another process", net.send, "ns", {Samples.ratio(net.send, net.delta), nil, nil}},
      {":erlang.term_to_binary of it", net.bytes, "ns", {Samples.ratio(net.bytes, net.delta), nil, nil}}
    ])
  end

  defp discard do
    receive do
      _state -> discard()
    end
  end

  # -- States -----------------------------------------------------------------------------------------------------------

  # Some 5,000 terms: 18 fields of items with tags, each a map of its own.
  defp cart do
    items = for n <- 1..18, do: {:"field_#{n}", for(m <- 1..30, do: %{id: m, tags: [n, m], price: m * 1.5})}
    %Cart{items: Map.new(items), log: Enum.to_list(1..50)}
  end

  defp field do
    old = cart()
    terms = terms(old)
    Bench.check!(terms in 4_500..6_500, "a state of 5,000 terms, got #{terms}")
    {:field, "one field of a state of 5,000 terms", old, %{old | count: 1}, 500, 16}
  end

  defp entry(size) do
    items = Map.new(1..size, &{&1, {:item, &1}})
    old = %Cart{items: items}
    new = %{old | items: Map.put(items, div(size, 2), {:item, 0})}
    {:"entry_#{size}", "one entry of a map of #{Bench.number(size)} keys in a struct", old, new, 1_000, 32}
  end

  defp added(size) do
    items = Map.new(1..size, &{&1, {:item, &1}})
    old = %Cart{items: items}
    new = %{old | items: Map.put(items, 0, {:item, 0})}
    {:added, "one key more and less in a map of #{Bench.number(size)}", old, new, nil, 32}
  end

  defp prepended do
    old = %Cart{log: Enum.to_list(1..1_000)}

    {:prepended, "one element more and less in front of a list of 1_000", old, %{old | log: [0 | old.log]},
     nil, 16}
  end

  defp rebuilt do
    old = %Cart{log: Enum.map(1..1_000, &{&1, "element"})}
    log = Enum.map(old.log, fn {n, text} -> {n, if(n == 500, do: "other", else: text)} end)
    {:rebuilt, "one of a list of 1_000 elements that were all built anew", old, %{old | log: log}, nil, 32}
  end

  defp terms(%_{} = struct), do: terms(Map.from_struct(struct)) + 2
  defp terms(%{} = map), do: Enum.reduce(map, 1, fn {key, value}, sum -> sum + terms(key) + terms(value) end)
  defp terms(list) when is_list(list), do: Enum.reduce(list, 1, &(terms(&1) + &2))
  defp terms(tuple) when is_tuple(tuple), do: terms(Tuple.to_list(tuple))
  defp terms(_leaf), do: 1

  # -- Answers ----------------------------------------------------------------------------------------------------------

  defp check_delta(what, old, new, bytes) do
    for {old, new} <- [{old, new}, {new, old}] do
      {delta, true} = Native.term_delta(old, new, %{})
      Bench.check!(byte_size(delta) <= bytes, "#{what}: at most #{bytes} bytes, got #{byte_size(delta)}")
      {patched, true, true} = Native.term_patch(Native.term_encode(old, %{whole: true}), [delta])
      Bench.check!(Native.term_decode(patched) === new, "#{what}: the delta leads to the new state")
    end
  end

  defp check_tape(%{name: name}) do
    before = stored()

    Bench.isolated(fn ->
      {old, new} = kept(name)
      seen(6, old, new)
      Native.state_seen(@site, old, old)
    end)

    Bench.check!(stored() - before == 6, "each change is an event, got #{stored() - before}")
  end

  defp stored do
    account = Tape.account()
    Bench.check!(account.lost == 0, "nothing was lost, got #{inspect(account)}")
    account.stored + account.evicted
  end

  # -- Loops ------------------------------------------------------------------------------------------------------------

  def empty(0, _old, _new), do: :ok
  def empty(n, old, new), do: empty(n - 1, new, old)

  def noop(0, _old, _new), do: :ok

  def noop(n, old, new) do
    Native.noop_3(n, old, new)
    noop(n - 1, new, old)
  end

  # The state goes to and fro.
  def seen(0, _old, _new), do: :ok

  def seen(n, old, new) do
    Native.state_seen(@site, old, new)
    seen(n - 1, new, old)
  end

  def sent(0, _sink, _new), do: :ok

  def sent(n, sink, new) do
    send(sink, new)
    sent(n - 1, sink, new)
  end

  def bytes(0, _new), do: :ok

  def bytes(n, new) do
    # without a use of what it gives, the compiler would leave it out
    if byte_size(:erlang.term_to_binary(new)) > 0, do: bytes(n - 1, new)
  end
end

options = Bench.open("State: one change")
Bench.State.run(options)
