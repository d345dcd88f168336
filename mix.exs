defmodule ElixirScope.MixProject do
  use Mix.Project

  @version "0.1.0"

  def project do
    [
      app: :elixir_scope,
      version: @version,
      elixir: "~> 1.14",
      start_permanent: Mix.env() == :prod,
      deps: [],
      description: "Flight recorder and time machine for running Elixir systems"
    ]
  end

  def application do
    [extra_applications: [:logger], mod: {ElixirScope.Application, []}]
  end
end
