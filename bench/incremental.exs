# A project of 500 modules, and one of its files changed: what the :elixir_scope compiler adds to `mix compile`, and its sidecars to
# the start of the node. In turns with it, the same project without the compiler.
#
#     mix run bench/incremental.exs [--smoke] [--modules 500]

Code.require_file("support/all.exs", __DIR__)

defmodule Bench.Incremental do
  @moduledoc false

  alias Bench.Samples

  @root File.cwd!()

  def run(options) do
    modules = options.given[:modules] || Bench.size(options, 500, 12)
    rounds = Bench.size(options, 15, 2)
    folder = Path.join(System.tmp_dir!(), "elixir_scope-incremental-#{System.pid()}")

    try do
      projects = for name <- [:plain, :instrumented], into: %{}, do: {name, Path.join(folder, "#{name}")}
      for {name, path} <- projects, do: generate(path, name, modules)

      {whole, first} =
        for {name, path} <- projects, into: %{} do
          {said, seconds} = mix!(path, ["compile"])
          {name, {said, seconds}}
        end
        |> then(&{elem(&1.instrumented, 1) - elem(&1.plain, 1), elem(&1.instrumented, 0)})

      Bench.check!(
        first =~ "Instrumenting #{modules} modules",
        "all modules are instrumented at first, got: #{first}"
      )

      Bench.figure(
        options,
        "The first compilation of #{modules} modules takes #{Bench.number(whole)} s more with instrumentation."
      )

      rounds =
        for round <- 1..rounds,
            do: for({name, path} <- projects, into: %{}, do: {name, measure(path, name, modules, round)})

      report(options, modules, rounds)
    after
      File.rm_rf!(folder)
    end
  end

  # -- Figures ----------------------------------------------------------------------------------------------------------

  defp measure(path, name, modules, round) do
    edit(path, rem(round * 7, modules) + 1, round)
    {said, changed} = mix!(path, ["compile"])

    if name == :instrumented do
      Bench.check!(said =~ "Instrumenting 1 module of", "one module is instrumented again, got: #{said}")
    end

    {"", nothing} = mix!(path, ["compile"])
    {said, start} = mix!(path, ["run", "--no-compile", "-e", loaded()])
    expected = if name == :instrumented, do: modules, else: 0
    Bench.check!(String.trim(said) == "#{expected}", "#{expected} modules are loaded at start, got: #{said}")
    %{changed: changed, nothing: nothing, start: start}
  end

  defp loaded, do: "IO.puts(Enum.count(ElixirScope.Instrument.Sidecar.report(), & &1.status == :loaded))"

  defp report(options, modules, rounds) do
    for {what, key, aim} <- [
          {"mix compile, one file of #{modules} changed", :changed, 1.0},
          {"mix compile, nothing changed", :nothing, nil},
          {"start of a node with #{modules} sidecars", :start, nil}
        ] do
      [plain, instrumented] =
        for name <- [:plain, :instrumented], do: for(round <- rounds, do: round[name][key] * 1_000)

      Bench.table(options, what, [
        {"without the compiler", plain, "ms", nil},
        {"with it", instrumented, "ms", {Samples.ratio(instrumented, plain), nil, nil}}
      ])

      added = (Samples.summary(instrumented).median - Samples.summary(plain).median) / 1_000
      verdict = if aim, do: ", aim at most #{aim} s: #{Bench.verdict(added <= aim)}", else: ""
      Bench.figure(options, "Added: #{Bench.number(added)} s#{verdict}")
    end
  end

  # -- The project ------------------------------------------------------------------------------------------------------

  defp generate(path, name, modules) do
    File.mkdir_p!(Path.join(path, "lib"))
    compilers = if name == :instrumented, do: "[:elixir_scope] ++ ", else: ""

    File.write!(Path.join(path, "mix.exs"), """
    defmodule Many.MixProject do
      use Mix.Project

      def project do
        [app: :many, version: "0.1.0", compilers: #{compilers}Mix.compilers(), deps: [{:elixir_scope, path: #{inspect(@root)}}]]
      end
    end
    """)

    for n <- 1..modules, do: File.write!(file(path, n), source(n, modules, 0))
  end

  defp file(path, n), do: Path.join(path, "lib/m#{n}.ex")

  # Mix looks at the second of a change.
  defp edit(path, n, round) do
    Process.sleep(1_001 - rem(System.os_time(:millisecond), 1_000))
    {:ok, content} = File.read(file(path, n))
    File.write!(file(path, n), String.replace(content, ~r/round: \d+/, "round: #{round}"))
  end

  # Modules of some ten functions, each of which calls its neighbour.
  defp source(n, modules, round) do
    functions =
      for f <- 1..10 do
        """
          def f#{f}(%{items: items} = order, factor) when is_list(items) do
            total = items |> Enum.map(fn item -> item * factor + #{f} end) |> Enum.sum()
            case g#{f}(order, total) do
              {:ok, value} -> {:ok, Map.put(order, :total, value)}
              {:error, reason} -> {:error, {__MODULE__, reason}}
            end
          end

          defp g#{f}(%{next: true} = order, total), do: Many.M#{rem(n, modules) + 1}.f#{f}(%{order | next: false}, total)
          defp g#{f}(_order, total) when total < 0, do: {:error, :negative}
          defp g#{f}(_order, total), do: {:ok, total}
        """
      end

    "defmodule Many.M#{n} do\n  def made, do: %{round: #{round}}\n\n#{Enum.join(functions, "\n")}end\n"
  end

  defp mix!(path, args) do
    library = Path.join(:code.priv_dir(:elixir_scope), "native/elixir_scope_nif.so")

    environment = [
      {"MIX_ENV", "dev"},
      {"MIX_BUILD_PATH", nil},
      {"ELIXIR_SCOPE_LIBRARY", library},
      {"ELIXIR_SCOPE_ENABLED", nil}
    ]

    began = System.monotonic_time(:millisecond)
    {said, status} = System.cmd("mix", args, cd: path, env: environment, stderr_to_stdout: true)
    seconds = (System.monotonic_time(:millisecond) - began) / 1_000
    if status != 0, do: Bench.abort("mix #{Enum.join(args, " ")} in #{path} ended with #{status}:\n#{said}")
    {said, seconds}
  end
end

options = Bench.open("A large project, one file changed", modules: :integer)
Bench.Incremental.run(options)
