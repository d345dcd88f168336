defmodule ElixirScopeTest.NetworkLog do
  @moduledoc """
  What the processes of a network really did, written by themselves into a table, with the instant on the tape's clock. It is never
  instrumented, and sends nothing.
  """

  def new, do: :ets.new(:log, [:ordered_set, :public])

  @doc "Writes an entry of the calling process; answers its instant."
  def write(log, kind, fields \\ %{}) do
    now = ElixirScope.now()
    entry = Map.merge(%{kind: kind, pid: self(), at: now}, fields)
    :ets.insert(log, {System.unique_integer([:monotonic]), entry})
    now
  end

  @doc "The entries of one kind, oldest first."
  def all(log, kind), do: for({_number, %{kind: ^kind} = entry} <- :ets.tab2list(log), do: entry)
end
