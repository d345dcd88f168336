defmodule Shop.Bank do
  @moduledoc """
  Stands in for a bank: two card numbers tell it what to do, all others are charged.

  `4000000000000002` is declined, `4000000000000341` is charged after #{25} ms, as banks sometimes do.
  """

  @declined "4000000000000002"
  @slow "4000000000000341"
  @slow_ms 25

  @doc "Charges a card. It takes the payment as a map, so that the recorder sees by the keys what to mask."
  @spec charge(Shop.Checkout.payment(), pos_integer()) :: :ok | {:error, :declined}
  def charge(%{card_number: @declined}, _cents), do: {:error, :declined}

  def charge(%{card_number: @slow}, _cents) do
    Process.sleep(@slow_ms)
    :ok
  end

  def charge(%{card_number: _number}, _cents), do: :ok

  @doc "The card that is always declined."
  def declined_card, do: @declined

  @doc "The card that takes `slow_ms/0`."
  def slow_card, do: @slow

  @doc "How long the slow card takes at least."
  def slow_ms, do: @slow_ms
end
