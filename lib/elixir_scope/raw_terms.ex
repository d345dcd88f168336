defmodule ElixirScope.RawTerms do
  @moduledoc false

  # The terms by which the native library learns how this VM lays out its words; see `native/elixir_scope_nif/src/term/raw.rs`.
  # Shown to it once, when the application starts. Until then, and where a shape fails its test, terms are read through
  # the NIF interface.

  alias ElixirScope.Native

  @doc "Has the library learn and test each shape; what it makes of them is in `Native.term_shapes/0`."
  @spec learn() :: term
  def learn, do: Native.raw_learn(samples())

  # The place where sample terms are gathered that the library cannot build by itself (funs with an environment, for one).
  defp samples, do: []
end
