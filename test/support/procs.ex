defmodule ElixirScopeTest.Procs do
  @moduledoc "A trace of the lives of all processes."

  @doc "Traces until the test ends, within limits that no test comes to."
  def trace(events \\ [:procs]) do
    {:ok, ref} = ElixirScope.trace(:all, events: events, for: 120_000, max: 1_000_000, rate: 1_000_000)
    ExUnit.Callbacks.on_exit(fn -> ElixirScope.untrace(ref) end)
    ref
  end
end
