defmodule ElixirScope.Tracing.Crowd do
  @moduledoc false

  # Asks something of many processes at once. `trace_info` of a process that is ready to run is answered when it gets its turn
  # (erl_bif_trace.c sends it a signal), which on a node that is overloaded may take long: one after another that would be the sum of all.
  # Of processes that wait it is answered at once; where most do, one after another is three times quicker.

  alias ElixirScope.Muted

  @helpers 256
  @long_queue 16

  @doc "The answers of `fun` for each of these, in no order."
  @spec map([item], (item -> answer)) :: [answer] when item: term, answer: term
  def map(items, fun) do
    if match?([_, _ | _], items) and :erlang.statistics(:total_run_queue_lengths) > @long_queue,
      do: together(items, fun),
      else: Enum.map(items, fun)
  end

  defp together(items, fun) do
    items
    |> Enum.chunk_every(div(length(items), @helpers) + 1)
    |> Enum.map(&helper(&1, fun))
    |> Enum.flat_map(&answers/1)
  end

  @spec filter([item], (item -> boolean)) :: [item] when item: term
  def filter(items, keep?) do
    for {item, true} <- map(items, &{&1, keep?.(&1)}), do: item
  end

  # Linked: what was begun by one of ours that is killed must not go on while its successor takes it back.
  defp helper(items, fun) do
    parent = self()

    work = fn ->
      Muted.forever()
      send(parent, {self(), Enum.map(items, fun)})
    end

    :erlang.spawn_opt(work, [:link, :monitor, priority: :high])
  end

  defp answers({pid, monitor}) do
    receive do
      {^pid, answers} ->
        Process.demonitor(monitor, [:flush])
        answers

      {:DOWN, ^monitor, :process, ^pid, reason} ->
        exit(reason)
    end
  end
end
