defmodule Mix.Tasks.Shop.Demo do
  @shortdoc "Plays shoppers and answers from the tape"

  @moduledoc """
  Starts the shop, plays shoppers over HTTP, and answers from the tape.

      $ mix shop.demo
      $ mix shop.demo --requests 2000 --shoppers 8 --seed 42

  The exit code is 0 only if all answers agree with what the shoppers know that they did.
  """

  use Mix.Task

  @switches [requests: :integer, shoppers: :integer, seed: :integer]

  @impl true
  def run(arguments) do
    opts = parse(arguments)
    Mix.Task.run("app.start")
    # The dispatcher's crashes are part of the play; here the tape tells them.
    Logger.configure(level: :emergency)
    unless Shop.Demo.run(opts), do: exit({:shutdown, 1})
  end

  defp parse(arguments) do
    case OptionParser.parse(arguments, strict: @switches) do
      {opts, [], []} -> Enum.each(opts, &positive/1) && opts
      {_opts, rest, invalid} -> Mix.raise("mix shop.demo: not understood: #{unknown(rest, invalid)}")
    end
  end

  defp positive({:seed, _any}), do: :ok
  defp positive({_option, number}) when number > 0, do: :ok

  defp positive({option, number}),
    do: Mix.raise("mix shop.demo: --#{option} must be a positive integer, and is #{number}")

  defp unknown(rest, invalid),
    do: Enum.map_join(invalid, " ", fn {name, _value} -> name end) <> Enum.join(rest, " ")
end
