defmodule ElixirScope.Guard.Ladder do
  @moduledoc false

  # Which level the looks lead to: pure, so that it can be proved without a clock.

  alias ElixirScope.Guard

  @levels [:full, :no_payloads, :sampled, :no_traces, :paused]
  @highest length(@levels) - 1

  # Calm looks for one level down.
  @calm 10

  @typedoc "The level as a number; how often in a row each bound was passed, and nothing spoke against going down."
  @type t :: %__MODULE__{level: 0..4, hot: %{atom => pos_integer}, calm: non_neg_integer}

  defstruct level: 0, hot: %{}, calm: 0

  @spec levels() :: [Guard.level()]
  def levels, do: @levels

  @spec name(0..4) :: Guard.level()
  def name(level), do: Enum.at(@levels, level)

  @spec at(0..4) :: t
  def at(level), do: %__MODULE__{level: level}

  @doc "Forgets what was seen, since nothing is."
  @spec rest(t) :: t
  def rest(ladder), do: at(ladder.level)

  @doc """
  One more look. `passed` are the bounds that are passed, each with `:patience`, so many looks in a row being one step up.
  """
  @spec look(t, %{atom => %{:patience => pos_integer, optional(atom) => term}}, boolean) ::
          {:stay, t} | {:up, atom, t} | {:down, t}
  def look(ladder, passed, calm?) do
    hot = Map.new(passed, fn {key, _} -> {key, Map.get(ladder.hot, key, 0) + 1} end)
    calm = if calm?, do: ladder.calm + 1, else: 0
    due = Enum.find(passed, fn {key, %{patience: patience}} -> hot[key] >= patience end)

    case {due, ladder.level} do
      {{key, _}, level} when level < @highest -> {:up, key, at(level + 1)}
      {nil, level} when level > 0 and calm >= @calm -> {:down, at(level - 1)}
      _otherwise -> {:stay, %{ladder | hot: hot, calm: calm}}
    end
  end
end
