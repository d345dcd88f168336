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
    Mix.Task.run("app.config")
    make_room(opts[:requests] || 0)
    Mix.Task.run("app.start")
    # The dispatcher's crashes are part of the play; here the tape tells them.
    Logger.configure(level: :emergency)
    unless Shop.Demo.run(opts), do: exit({:shutdown, 1})
  end

  # The tape is to hold the whole play: a request leaves 24 events on average, together less than 2 KiB.
  defp make_room(requests) do
    recorder = Application.get_env(:shop, :recorder, [])
    storage = Keyword.get(recorder, :storage, [])
    limit = max(storage[:memory_limit] || 0, requests * 2_048 + 8 * 1_024 * 1_024)
    storage = Keyword.put(storage, :memory_limit, limit)
    Application.put_env(:shop, :recorder, Keyword.put(recorder, :storage, storage))
  end

  defp parse(arguments) do
    case OptionParser.parse(arguments, strict: @switches) do
      {opts, [], []} -> Enum.map(opts, &positive!/1)
      {_opts, rest, invalid} -> not_understood!(Enum.flat_map(invalid, &Tuple.to_list/1) ++ rest)
    end
  end

  defp positive!({option, number}) when number > 0 or option == :seed, do: {option, number}
  defp positive!({option, number}), do: not_understood!(["--#{option}", Integer.to_string(number)])

  @spec not_understood!([String.t() | nil]) :: no_return()
  defp not_understood!(words) do
    Mix.raise(
      "mix shop.demo expects --requests and --shoppers with a positive integer, --seed with an integer; " <>
        "got: " <> Enum.join(Enum.reject(words, &is_nil/1), " ")
    )
  end
end
