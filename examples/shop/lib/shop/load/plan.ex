defmodule Shop.Load.Plan do
  @moduledoc """
  What the shoppers will do: journeys through the shop, each a list of steps, made from a seed.

  One journey in eight ends without a checkout, one in twelve begins its checkout with a declined card, one in thirty has
  a slow bank, and each fortieth gives a postcode that the dispatcher cannot print.
  """

  alias Shop.{Bank, Catalogue}

  @type step ::
          :products
          | :open_cart
          | {:add_item, Shop.sku(), pos_integer()}
          | {:remove_item, Shop.sku()}
          | :view_cart
          | {:check_out, card_number :: String.t(), postcode :: String.t()}
          | :order
  @type journey :: [step()]

  @good_postcode "AB1 2CD"
  @bad_postcode "AB12CD"

  @doc """
  Journeys with exactly this many steps in all.

      iex> Shop.Load.Plan.new(500, 1) |> List.flatten() |> length()
      500

      iex> Shop.Load.Plan.new(500, 1) == Shop.Load.Plan.new(500, 1)
      true
  """
  @spec new(requests :: pos_integer(), seed :: integer()) :: [journey()]
  def new(requests, seed), do: journeys(requests, 1, :rand.seed_s(:exsss, seed))

  @doc "The postcode that crashes the dispatcher."
  @spec bad_postcode() :: String.t()
  def bad_postcode, do: @bad_postcode

  defp journeys(0, _number, _random), do: []

  defp journeys(left, number, random) do
    {journey, random} = journey(number, random)
    journey = Enum.take(journey, left)
    [journey | journeys(left - length(journey), number + 1, random)]
  end

  defp journey(number, random) do
    {shopping, random} = shopping(random)
    {ending, random} = ending(number, random)
    {[:products, :open_cart] ++ shopping ++ [:view_cart | ending], random}
  end

  defp shopping(random) do
    {kinds, random} = uniform(random, 4)
    {skus, random} = Enum.map_reduce(1..kinds, random, fn _n, random -> sku(random) end)

    {adds, random} =
      Enum.map_reduce(skus, random, fn sku, random ->
        {units, random} = uniform(random, 3)
        {{:add_item, sku, units}, random}
      end)

    case Enum.uniq(skus) do
      [_only] -> {adds, random}
      [first | _others] -> {adds ++ [{:remove_item, first}], random}
    end
  end

  defp sku(random) do
    skus = Catalogue.products() |> Map.keys() |> Enum.sort()
    {n, random} = uniform(random, length(skus))
    {Enum.at(skus, n - 1), random}
  end

  defp ending(number, random) when rem(number, 40) == 20 do
    {card, random} = card(random)
    {[{:check_out, card, @bad_postcode}, :order], random}
  end

  defp ending(_number, random) do
    {card, random} = card(random)

    case uniform(random, 120) do
      {n, random} when n <= 15 -> {[], random}
      {n, random} when n <= 25 -> {[check_out(Bank.declined_card()), check_out(card), :order], random}
      {n, random} when n <= 29 -> {[check_out(Bank.slow_card()), :order], random}
      {_n, random} -> {[check_out(card), :order], random}
    end
  end

  defp check_out(card), do: {:check_out, card, @good_postcode}

  defp card(random) do
    {n, random} = uniform(random, 999_999_999)
    {"4929000" <> String.pad_leading(Integer.to_string(n), 9, "0"), random}
  end

  defp uniform(random, n), do: :rand.uniform_s(n, random)
end
