defmodule ElixirScope.Test.Flows do
  @moduledoc "Traces around a piece of a test."

  @doc "Runs `fun` while sends, arrivals and life of the processes are recorded, and of those that they spawn."
  def traced(pids, fun) do
    limits = [for: 60_000, max: 1_000_000, rate: 1_000_000]
    {:ok, ref} = ElixirScope.trace(pids, [follow: :spawn] ++ limits)

    try do
      fun.()
    after
      :ok = ElixirScope.untrace(ref)
    end
  end
end
