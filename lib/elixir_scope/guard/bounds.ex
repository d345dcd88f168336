defmodule ElixirScope.Guard.Bounds do
  @moduledoc false

  # The bounds of `guard:` in the configuration as numbers, and which of them a look finds passed.

  alias ElixirScope.Guard.Reading

  # A bound that was given counts after so many looks in a row, one that was not after so many.
  @given 2
  @auto 10

  # Which figure each bound is about, what `:auto` stands for, and up to which part of the bound a figure is calm.
  @watched [
    {:max_run_queue, :run_queue, 0.5},
    {:max_memory_bytes, :memory_bytes, 0.9},
    {:max_cpu_share, :cpu_share, 0.5},
    {:max_loss, :loss, 0.5}
  ]

  @typedoc "`under_pressure`: counts only while more processes wait than there are schedulers."
  @type bound :: %{
          limit: number | :infinity,
          figure: atom,
          calm: float,
          patience: pos_integer,
          under_pressure: boolean
        }
  @type t :: %{atom => bound}
  @type system :: %{schedulers: pos_integer, memory_bytes: pos_integer | :infinity}

  @doc "What the automatic bounds hang on."
  @spec system() :: system
  def system do
    %{schedulers: System.schedulers_online(), memory_bytes: Reading.system_memory() || :infinity}
  end

  @spec of(map, system) :: t
  def of(config, system) do
    for {key, figure, calm} <- @watched, into: %{} do
      auto? = config[key] == :auto
      limit = if auto?, do: auto(key, system), else: config[key]

      {key,
       %{
         limit: limit,
         figure: figure,
         calm: calm,
         patience: if(auto?, do: @auto, else: @given),
         under_pressure: if(auto? and key == :max_cpu_share, do: system.schedulers, else: 0)
       }}
    end
  end

  defp auto(:max_run_queue, system), do: 8 * system.schedulers
  defp auto(:max_memory_bytes, %{memory_bytes: :infinity}), do: :infinity
  defp auto(:max_memory_bytes, system), do: div(system.memory_bytes * 8, 10)
  defp auto(:max_cpu_share, _system), do: 0.05
  defp auto(:max_loss, _system), do: 0.1

  @doc "The bounds that are passed, each with the figure that it is passed by."
  @spec passed(t, Reading.figures()) :: %{
          atom => %{bound: number, figure: number, patience: pos_integer}
        }
  def passed(bounds, figures) do
    for {key, %{limit: limit} = bound} <- bounds,
        figure = figures[bound.figure],
        is_number(limit) and figure > limit and counts?(bound, figures),
        into: %{} do
      {key, %{bound: limit, figure: figure, patience: bound.patience}}
    end
  end

  @doc "Whether all figures are far enough below their bounds."
  @spec calm?(t, Reading.figures()) :: boolean
  def calm?(bounds, figures) do
    Enum.all?(bounds, fn {_key, %{limit: limit} = bound} ->
      figure = figures[bound.figure]

      limit == :infinity or figure == nil or figure <= limit * bound.calm or
        not counts?(bound, figures)
    end)
  end

  # What nobody waits for is free to be used.
  defp counts?(bound, figures), do: bound.under_pressure == 0 or figures.run_queue > bound.under_pressure
end
