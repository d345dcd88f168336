defmodule Shop.MixProject do
  use Mix.Project

  # The shop records itself, its examiners do not: who plays the shoppers, asks the tape and prints the answers stays plain.
  @examiners [
    Mix.Tasks.Shop.Demo,
    Shop.Audit,
    Shop.Audit.Carts,
    Shop.Audit.Causes,
    Shop.Audit.Check,
    Shop.Audit.Orders,
    Shop.Audit.Past,
    Shop.Audit.Past.Carts,
    Shop.Audit.Past.Dispatchers,
    Shop.Audit.Past.Shelves,
    Shop.Audit.Recorder,
    Shop.Audit.Requests,
    Shop.Audit.Secrets,
    Shop.Audit.Verdict,
    Shop.Demo,
    Shop.Load,
    Shop.Load.Client,
    Shop.Load.Entry,
    Shop.Load.Ledger,
    Shop.Load.Moment,
    Shop.Load.Plan,
    Shop.Load.Shelves,
    Shop.Load.Shopper,
    Shop.Print,
    Shop.Print.Past,
    Shop.Print.Progress,
    Shop.Print.Story,
    Shop.Print.Table,
    Shop.Print.Unit,
    Shop.Questions,
    Shop.Questions.Past,
    Shop.Tape
  ]

  def project do
    [
      app: :shop,
      version: "0.1.0",
      elixir: "~> 1.14",
      start_permanent: Mix.env() == :prod,
      compilers: [:elixir_scope] ++ Mix.compilers(),
      elixir_scope: [strategy: :balanced, exclude_modules: @examiners],
      deps: [{:elixir_scope, path: "../.."}]
    ]
  end

  # A test has `:dbg` trace beside ElixirScope.
  defp applications(:test), do: [:runtime_tools]
  defp applications(_env), do: []

  def application do
    [extra_applications: [:logger, :inets, :mnesia | applications(Mix.env())], mod: {Shop.Application, []}]
  end
end
