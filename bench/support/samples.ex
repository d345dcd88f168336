defmodule Bench.Samples do
  @moduledoc false

  # Measuring in turns. Two cores that others use too are noisy, so no two variants are compared that did not run a moment
  # apart: each round runs every variant once, and each round begins with another one (A B C, B C A, C A B, …).

  @type variant :: %{
          required(:name) => atom,
          required(:run) => (pos_integer -> term),
          optional(:before) => (() -> term),
          optional(:after) => (term -> term)
        }

  @doc """
  Runs `rounds` rounds of all variants, each with a batch of `batch` calls, and answers the nanoseconds of one call in each
  round by the variant's name. `before` and `after` (which gets what `before` gave) are not timed; `pause` runs between rounds.
  The first tenth of the rounds warms up and is left out.
  """
  @spec in_turns([variant], pos_integer, pos_integer, (() -> term)) :: %{atom => [float]}
  def in_turns(variants, rounds, batch, pause \\ fn -> :ok end) do
    warm_up = max(div(rounds, 10), 1)

    # The samples are kept off the heap of the process, which is collected before each batch: a batch then begins in memory
    # that the cache still knows, as a small process of an application would.
    table = :ets.new(:samples, [:private])

    for round <- 1..(rounds + warm_up) do
      for variant <- turned(variants, round) do
        :ets.insert(table, {{variant.name, round}, one(variant, batch)})
      end

      pause.()
    end

    for {{name, round}, ns} <- :ets.tab2list(table), round > warm_up, reduce: %{} do
      samples -> Map.update(samples, name, [ns], &[ns | &1])
    end
  end

  defp turned(variants, round) do
    {first, rest} = Enum.split(variants, rem(round, length(variants)))
    rest ++ first
  end

  defp one(variant, batch) do
    run = variant.run
    context = Map.get(variant, :before, fn -> nil end).()
    :erlang.garbage_collect()
    started = :erlang.monotonic_time()
    run.(batch)
    ended = :erlang.monotonic_time()
    Map.get(variant, :after, fn _ -> :ok end).(context)
    nanoseconds(ended - started) / batch
  end

  @doc "Nanoseconds of one run of `work`, and what it answered."
  @spec timed((() -> result)) :: {non_neg_integer, result} when result: var
  def timed(work) do
    started = :erlang.monotonic_time()
    result = work.()
    {nanoseconds(:erlang.monotonic_time() - started), result}
  end

  @doc "The samples without the median of what the loop itself costs."
  @spec net([float], [float]) :: [float]
  def net(samples, loop) do
    cost = median(loop)
    Enum.map(samples, &(&1 - cost))
  end

  @spec summary([number]) :: %{min: number, median: number, p99: number, count: pos_integer}
  def summary(samples) do
    sorted = Enum.sort(samples)
    count = length(sorted)

    %{
      min: hd(sorted),
      median: at(sorted, count, 0.5),
      p99: at(sorted, count, 0.99),
      count: count
    }
  end

  @spec median([number]) :: number
  def median(samples), do: summary(samples).median

  @doc "The ratio of two medians; none if the baseline took no time, as it may in a smoke run."
  @spec ratio([number], [number]) :: float | :none
  def ratio(samples, baseline) do
    baseline = median(baseline)
    if baseline > 0, do: median(samples) / baseline, else: :none
  end

  # the nearest rank
  defp at(sorted, count, share), do: Enum.at(sorted, max(ceil(share * count) - 1, 0))

  defp nanoseconds(native), do: :erlang.convert_time_unit(native, :native, :nanosecond)
end
