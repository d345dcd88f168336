defmodule ElixirScope.Test.Marks do
  @moduledoc "Functions with marks in them, away from the tests that compare their stack traces."

  require ElixirScope.Trace, as: Trace

  def plain(fun), do: [fun.()]

  def spanned(fun) do
    [
      Trace.span "spanned", %{} do
        fun.()
      end
    ]
  end

  def snapshot(first, [second | _rest]) do
    _unused = first
    third = first + second
    Trace.snapshot()
    third
  end

  def snapshot_of_nothing, do: Trace.snapshot()
end
