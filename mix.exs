Code.require_file("native/mix_compiler.exs", __DIR__)

defmodule ElixirScope.MixProject do
  use Mix.Project

  @version "0.1.0"

  def project do
    [
      app: :elixir_scope,
      version: @version,
      elixir: "~> 1.14",
      # cargo comes first: the stubs of ElixirScope.Native look for the library as soon as they load
      compilers: [:elixir_scope_native] ++ Mix.compilers(),
      elixirc_paths: elixirc_paths(Mix.env()),
      start_permanent: Mix.env() == :prod,
      # Elixir 1.19 and later warn of files in test/ that are no tests
      test_ignore_filters: [
        &String.starts_with?(&1, "test/fixtures/"),
        &String.starts_with?(&1, "test/support/")
      ],
      deps: [],
      name: "ElixirScope",
      description: "Flight recorder and time machine for running Elixir systems",
      package: package(),
      docs: docs()
    ]
  end

  def application do
    [mod: {ElixirScope.Application, []}, extra_applications: [:logger]]
  end

  defp elixirc_paths(:test), do: ["lib", "test/support"]
  defp elixirc_paths(_env), do: ["lib"]

  defp package do
    [
      licenses: ["MIT"],
      # no public home yet
      links: %{},
      files: ~w(
        lib guides priv/native/README.md
        native/mix_compiler.exs native/*/Cargo.toml native/*/build.rs native/*/src native/*/benches
        Cargo.toml Cargo.lock .cargo/config.toml
        mix.exs .formatter.exs README.md ARCHITECTURE.md CHANGELOG.md LICENSE
      )
    ]
  end

  defp docs do
    [
      main: "readme",
      extras: [
        "README.md",
        "guides/instrumentation.md",
        "guides/compiler.md",
        "guides/time_travel.md",
        "guides/tracing.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md"
      ],
      source_ref: "v#{@version}"
    ]
  end
end
