defmodule Shop.MixProject do
  use Mix.Project

  def project do
    [
      app: :shop,
      version: "0.1.0",
      elixir: "~> 1.14",
      start_permanent: Mix.env() == :prod,
      deps: [{:elixir_scope, path: "../.."}]
    ]
  end

  def application do
    [extra_applications: [:logger, :inets, :mnesia], mod: {Shop.Application, []}]
  end
end
