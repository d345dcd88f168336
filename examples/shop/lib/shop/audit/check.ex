defmodule Shop.Audit.Check do
  @moduledoc "One figure, as the shoppers know it and as the tape tells it."

  @enforce_keys [:what, :shoppers, :tape]
  defstruct [:what, :shoppers, :tape]

  @type t :: %__MODULE__{what: String.t(), shoppers: term(), tape: term()}

  @doc "A check of one figure."
  @spec new(String.t(), shoppers :: term(), tape :: term()) :: t()
  def new(what, shoppers, tape), do: %__MODULE__{what: what, shoppers: shoppers, tape: tape}

  @doc "A check for each key of two maps of counts."
  @spec each(String.t(), shoppers :: map(), tape :: map()) :: [t()]
  def each(what, shoppers, tape) do
    for key <- Enum.sort(Enum.uniq(Map.keys(shoppers) ++ Map.keys(tape))) do
      new("#{what} #{key}", Map.get(shoppers, key, 0), Map.get(tape, key, 0))
    end
  end

  @doc """
  A check that two maps hold the same, key by key; the figures are the numbers of keys.

      iex> alias Shop.Audit.Check
      iex> Check.same("carts", %{"a" => 1, "b" => 2}, %{"a" => 1, "b" => 3, "c" => 4})
      %Check{what: "carts", shoppers: 2, tape: "1 agree, 1 differ, 1 unknown"}
  """
  @spec same(String.t(), shoppers :: map(), tape :: map()) :: t()
  def same(what, shoppers, tape) when shoppers == tape,
    do: new(what, map_size(shoppers), map_size(tape))

  def same(what, shoppers, tape) do
    agree = Enum.count(shoppers, fn {key, value} -> Map.fetch(tape, key) == {:ok, value} end)
    unknown = tape |> Map.drop(Map.keys(shoppers)) |> map_size()
    differ = map_size(shoppers) - agree
    new(what, map_size(shoppers), "#{agree} agree, #{differ} differ, #{unknown} unknown")
  end

  @doc "Whether both figures are the same."
  @spec ok?(t()) :: boolean()
  def ok?(%__MODULE__{shoppers: figure, tape: figure}), do: true
  def ok?(%__MODULE__{}), do: false
end
