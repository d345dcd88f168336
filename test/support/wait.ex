defmodule ElixirScope.Test.Wait do
  @moduledoc "Waits for a condition instead of for a time."

  import ExUnit.Assertions, only: [flunk: 1]

  @doc "Waits until `condition` answers something truthy, and answers that."
  @spec until((() -> answer), String.t(), non_neg_integer) :: answer when answer: term
  def until(condition, what \\ "the condition", left_ms \\ 10_000) do
    cond do
      answer = condition.() ->
        answer

      left_ms <= 0 ->
        flunk("waited in vain for #{what}")

      true ->
        Process.sleep(5)
        until(condition, what, left_ms - 5)
    end
  end

  @doc "Waits until a process is gone."
  @spec until_dead(pid) :: :ok
  def until_dead(pid) do
    monitor = Process.monitor(pid)

    receive do
      {:DOWN, ^monitor, :process, ^pid, _reason} -> :ok
    after
      10_000 -> flunk("waited in vain for #{inspect(pid)} to end")
    end
  end
end
