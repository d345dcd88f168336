# The example shop under load, plain, :minimal and :balanced: time and CPU of one request over HTTP. Each variant is a node of its own,
# built from examples/shop; the shoppers are in this process, and visit one after the other.
#
#     mix run bench/shop.exs [--smoke] [--rounds 24] [--requests 4000]

Code.require_file("support/all.exs", __DIR__)

defmodule Bench.Shop do
  @moduledoc false

  alias Bench.Samples

  @root File.cwd!()
  @variants [:plain, :minimal, :balanced]
  @aims %{minimal: 1.05, balanced: 1.15}
  @shoppers 16
  @patience_ms 60_000
  @known [200, 201, 402, 404, 409]

  def run(options) do
    rounds = options.given[:rounds] || Bench.size(options, 24, 1)
    requests = options.given[:requests] || Bench.size(options, 4_000, 150)
    folder = Path.join(System.tmp_dir!(), "elixir_scope-shop-#{System.pid()}")

    try do
      build(folder)
      Code.prepend_path(Path.join(folder, "plain/_build/dev/lib/shop/ebin"))
      nodes = for name <- @variants, do: open(name, Path.join(folder, "#{name}"))
      warm_up = max(div(rounds, 10), 1)

      samples =
        for round <- 1..(rounds + warm_up), node <- turned(nodes, round), reduce: [] do
          samples ->
            sample = measure(node, round, requests)
            if round > warm_up, do: [sample | samples], else: samples
        end

      Enum.each(nodes, &close/1)
      report(options, samples, requests)
    after
      File.rm_rf!(folder)
    end
  end

  defp turned(nodes, round) do
    {first, rest} = Enum.split(nodes, rem(round, length(nodes)))
    rest ++ first
  end

  # -- Figures ----------------------------------------------------------------------------------------------------------

  # Every variant is asked the same in the same round.
  defp measure(node, round, requests) do
    journeys = apply(Shop.Load.Plan, :new, [requests, round])
    [cpu_before, own_before] = ask(node, "begin", ~r/^cpu (\d+) (\d+)$/)
    {elapsed, entries} = Samples.timed(fn -> play(journeys, node.port) end)

    [cpu, own, events, handled, cart_calls, cart_states, lost] =
      ask(node, "end", ~r/^cpu (\d+) (\d+) tape (\d+) (\d+) (\d+) (\d+) (\d+)$/)

    seen = %{handled: handled, cart_calls: cart_calls, cart_states: cart_states}
    check(node.name, entries, seen, {requests, lost})

    %{
      name: node.name,
      elapsed: elapsed / requests / 1_000,
      cpu: (cpu - cpu_before) / requests / 1_000,
      own: (own - own_before) / requests / 1_000,
      events: events / requests,
      lost: lost
    }
  end

  defp play(journeys, port) do
    journeys
    |> Enum.with_index()
    |> Enum.group_by(fn {_journey, n} -> rem(n, @shoppers) end, fn {journey, _n} -> journey end)
    |> Map.values()
    |> Task.async_stream(&apply(Shop.Load.Shopper, :play, [&1, port, fn -> :ok end]),
      max_concurrency: @shoppers,
      timeout: :infinity
    )
    |> Enum.flat_map(fn {:ok, entries} -> entries end)
  end

  # What the shoppers asked is on the tape, as far as the variant records it; a figure with losses is none of recording.
  defp check(name, entries, seen, {requests, lost}) do
    Bench.check!(length(entries) == requests, "#{requests} answers from #{name}, got #{length(entries)}")
    odd = Enum.find(entries, &(&1.status not in @known))
    Bench.check!(odd == nil, "answers with status #{inspect(@known)} from #{name}, got #{inspect(odd)}")
    expected = expected(name, entries, requests)

    Bench.check!(
      seen == expected or lost > 0,
      "on the tape of #{name} #{inspect(expected)}, got #{inspect(seen)}"
    )
  end

  defp expected(:plain, _entries, _requests), do: %{handled: 0, cart_calls: 0, cart_states: 0}

  defp expected(name, entries, requests) do
    asked = entries |> Enum.flat_map(&apply(Shop.Audit.Carts, :asked, [&1])) |> Enum.reject(&(&1 == :opened))
    changed = Enum.count(entries, &(&1.step == :open_cart or changes?(&1.step)))
    # the handler is no callback of a behaviour
    handled = if name == :balanced, do: requests, else: 0
    %{handled: handled, cart_calls: length(asked), cart_states: changed}
  end

  defp changes?({:add_item, _sku, _units}), do: true
  defp changes?({:remove_item, _sku}), do: true
  defp changes?(_step), do: false

  defp report(options, samples, requests) do
    of = fn name, key -> for %{name: ^name} = sample <- samples, do: Map.fetch!(sample, key) end

    for {title, key} <- [
          {"Time of one request, #{@shoppers} shoppers at once, batches of #{requests}", :elapsed},
          {"CPU of the shop's node for one request, the library's own threads included", :cpu}
        ] do
      rows =
        for name <- @variants do
          ratio = Samples.ratio(of.(name, key), of.(:plain, key))
          {to_string(name), of.(name, key), "µs", @aims[name] && {ratio, :at_most, @aims[name]}}
        end

      Bench.table(options, title, rows)
    end

    for name <- @variants do
      Bench.figure(
        options,
        "#{name}: #{Bench.number(1_000_000 / Samples.median(of.(name, :elapsed)))} requests/s, " <>
          "#{Bench.number(Samples.median(of.(name, :events)))} events a request, " <>
          "#{Bench.number(Samples.median(of.(name, :own)))} µs of the library's own threads among the CPU, " <>
          "#{Enum.max(of.(name, :lost))} events lost"
      )
    end
  end

  # -- The nodes --------------------------------------------------------------------------------------------------------

  defp build(folder) do
    for name <- @variants do
      path = Path.join(folder, "#{name}")
      File.mkdir_p!(path)

      for part <- ~w(lib config),
          do: File.cp_r!(Path.join([@root, "examples/shop", part]), Path.join(path, part))

      File.write!(Path.join(path, "mix.exs"), project(name))
      # the library is the same for all of them
      first = Path.join(folder, "#{hd(@variants)}/_build/dev/lib/elixir_scope")
      library = Path.join(path, "_build/dev/lib/elixir_scope")
      File.mkdir_p!(Path.dirname(library))
      if name != hd(@variants), do: File.cp_r!(first, library)

      {said, status} =
        System.cmd("mix", ["compile"], cd: path, env: environment(name), stderr_to_stdout: true)

      if status != 0, do: Bench.abort("mix compile of the shop, #{name}, ended with #{status}:\n#{said}")
    end
  end

  defp project(name) do
    mix = File.read!(Path.join(@root, "examples/shop/mix.exs"))
    own = mix |> replace(~s(path: "../.."), "path: #{inspect(@root)}")

    case name do
      :plain -> replace(own, "compilers: [:elixir_scope] ++ Mix.compilers(),", "")
      strategy -> replace(own, "strategy: :balanced", "strategy: #{inspect(strategy)}")
    end
  end

  defp replace(text, part, with) do
    Bench.check!(text =~ part, "examples/shop/mix.exs with #{part}")
    String.replace(text, part, with)
  end

  defp environment(name) do
    [
      {"MIX_ENV", "dev"},
      {"MIX_BUILD_PATH", nil},
      {"ELIXIR_SCOPE_LIBRARY", Path.join(:code.priv_dir(:elixir_scope), "native/elixir_scope_nif.so")},
      {"ELIXIR_SCOPE_ENABLED", if(name == :plain, do: "false")},
      # schedulers that spin while they wait would count as work
      {"ERL_FLAGS", "+sbwt none +sbwtdcpu none +sbwtdio none"}
    ]
  end

  defp open(name, path) do
    script = Path.join(__DIR__, "support/shop_node.exs")

    port =
      Port.open({:spawn_executable, System.find_executable("mix")}, [
        :binary,
        :exit_status,
        :stderr_to_stdout,
        {:line, 4_096},
        args: ["run", "--no-compile", script],
        cd: path,
        env:
          for({key, value} <- environment(name), do: {to_charlist(key), value != nil && to_charlist(value)})
      ])

    [http] = await(name, port, ~r/^ready (\d+)$/)
    %{name: name, process: port, port: http}
  end

  defp ask(node, line, answer) do
    Port.command(node.process, line <> "\n")
    await(node.name, node.process, answer)
  end

  defp await(name, port, answer) do
    receive do
      {^port, {:data, {:eol, "shop: " <> text}}} ->
        case Regex.run(answer, text) do
          [_all | numbers] -> Enum.map(numbers, &String.to_integer/1)
          nil -> Bench.abort("the #{name} node said #{text}")
        end

      {^port, {:data, {:eol, _text}}} ->
        await(name, port, answer)

      {^port, {:exit_status, status}} ->
        Bench.abort("the #{name} node ended with #{status}")
    after
      @patience_ms -> Bench.abort("the #{name} node does not answer")
    end
  end

  # It ends with its standard input.
  defp close(node), do: Port.close(node.process)
end

options = Bench.open("The example shop", rounds: :integer, requests: :integer)
Bench.Shop.run(options)
