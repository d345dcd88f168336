defmodule Shop.Load do
  @moduledoc """
  Plays shoppers against the shop, over real HTTP, and keeps a ledger of all that they did.

  What they do is decided beforehand and by a seed; how the shop answers is written down.

      iex> ledger = Shop.Load.run(requests: 100, shoppers: 4)
      iex> length(ledger.entries)
      100
  """

  alias Shop.Load.{Ledger, Plan, Shopper}

  # After so many, all shoppers leave and the dispatcher settles: where the oldest events give way, what came after such a rest
  # is on the tape whole.
  @journeys_a_part 250

  @doc """
  Plays the requests and returns the ledger, once the dispatcher has settled too. Every so many journeys the shop comes to rest.

    * `:requests` - how many (1,000)
    * `:shoppers` - how many shoppers are in the shop at the same time (16)
    * `:seed` - of the plan (1)
    * `:on_answer` - a function of no argument, called at each answer
  """
  @spec run(keyword()) :: Ledger.t()
  def run(opts \\ []) do
    requests = Keyword.get(opts, :requests, 1_000)
    shoppers = Keyword.get(opts, :shoppers, 16)
    on_answer = Keyword.get(opts, :on_answer, fn -> :ok end)
    plan = Plan.new(requests, Keyword.get(opts, :seed, 1))
    port = Shop.Web.port()

    plan
    |> Enum.chunk_every(@journeys_a_part)
    |> Enum.map(fn journeys -> Ledger.keep(fn -> play(journeys, shoppers, port, on_answer) end) end)
    |> Ledger.bind()
  end

  defp play(journeys, shoppers, port, on_answer) do
    entries =
      journeys
      |> deal(shoppers)
      |> Task.async_stream(&Shopper.play(&1, port, on_answer), max_concurrency: shoppers, timeout: :infinity)
      |> Enum.flat_map(fn {:ok, entries} -> entries end)

    :ok = Shop.Dispatch.settle()
    entries
  end

  # Journey by journey, as one deals cards, so that each shopper has the same part of each kind.
  defp deal(journeys, shoppers) do
    journeys
    |> Enum.with_index()
    |> Enum.group_by(fn {_journey, n} -> rem(n, shoppers) end, fn {journey, _n} -> journey end)
    |> Map.values()
  end
end
