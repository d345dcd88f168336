defmodule Shop.Audit.Verdict do
  @moduledoc """
  Whether the tape told one thing of the past as the shoppers know it.

  What had to give way, and what the tape itself calls `:approximate`, is `:untold`: it can neither be right nor wrong.
  """

  alias Shop.Audit.Check

  @enforce_keys [:outcome, :quality]
  defstruct [:outcome, :quality]

  @type t :: %__MODULE__{outcome: :right | :wrong | :untold, quality: atom()}

  @doc "A verdict on an answer of `Shop.Tape.state_at/2`, where `right?` says whether it is what the shoppers know."
  @spec on({:ok, term(), atom()} | {:error, term()}, (term() -> boolean())) :: t()
  def on({:ok, state, quality}, right?), do: new(right?.(state), quality)
  def on({:error, :evicted}, _right?), do: untold()
  def on({:error, reason}, right?), do: new(right?.(reason), nil)

  @doc "A verdict on anything that was told with this quality."
  @spec new(right? :: boolean(), quality :: atom()) :: t()
  def new(_right?, :approximate), do: %__MODULE__{outcome: :untold, quality: :approximate}
  def new(true, quality), do: %__MODULE__{outcome: :right, quality: quality}
  def new(false, quality), do: %__MODULE__{outcome: :wrong, quality: quality}

  @doc "A verdict on what is not on the tape any more."
  @spec untold() :: t()
  def untold, do: %__MODULE__{outcome: :untold, quality: nil}

  @doc """
  A check of `known` things, of which each must have a verdict. It says how many could not be checked, and fails where that are all.

      iex> alias Shop.Audit.{Check, Verdict}
      iex> [right, wrong, untold] = [Verdict.new(true, :exact), Verdict.new(false, :exact), Verdict.untold()]
      iex> Verdict.check("states", 2, [right, right])
      %Check{what: "states", shoppers: 2, tape: 2}
      iex> Verdict.check("states", 3, [right, wrong, untold])
      %Check{what: "states (1 not on the tape any more)", shoppers: 2, tape: 1}
      iex> Verdict.check("states", 1, [untold]) |> Check.ok?()
      false
      iex> Verdict.check("states", 2, [right]) |> Check.ok?()
      false
  """
  @spec check(String.t(), known :: non_neg_integer(), [t()]) :: Check.t()
  def check(what, known, verdicts) do
    untold = count(verdicts, :untold)
    what = if untold > 0, do: "#{what} (#{untold} not on the tape any more)", else: what

    if known > 0 and untold == known,
      do: Check.new(what, known, "none"),
      else: Check.new(what, known - untold, count(verdicts, :right))
  end

  @doc """
  A check that all is right that the tape calls exact, and that it calls anything so.

      iex> alias Shop.Audit.{Check, Verdict}
      iex> Verdict.exact([Verdict.new(true, :exact), Verdict.new(false, :unverified)])
      %Check{what: "answers that the tape calls exact", shoppers: 1, tape: 1}
      iex> Verdict.exact([Verdict.new(true, :unverified)]) |> Check.ok?()
      false
  """
  @spec exact([t()]) :: Check.t()
  def exact(verdicts) do
    what = "answers that the tape calls exact"
    exact = Enum.filter(verdicts, &(&1.quality == :exact))

    if exact == [] and verdicts != [],
      do: Check.new(what, "some", 0),
      else: check(what, length(exact), exact)
  end

  defp count(verdicts, outcome), do: Enum.count(verdicts, &(&1.outcome == outcome))
end
