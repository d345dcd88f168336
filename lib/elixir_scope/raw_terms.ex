defmodule ElixirScope.RawTerms do
  @moduledoc false

  # The terms by which the native library learns how this VM lays out its words; see `native/elixir_scope_nif/src/term/raw/`.
  # Shown to it once, when the application starts. Until then, and where a shape fails its test, terms are read through
  # the NIF interface.

  alias ElixirScope.Native

  @doc "Has the library learn and test each shape; what it makes of them is in `Native.term_shapes/0`."
  @spec learn() :: term
  def learn, do: Native.raw_learn(samples())

  # What the library cannot build by itself. Where one is missing its shape is left to the NIF interface; the rest is compared
  # with what the VM itself says, as a further test.
  defp samples do
    salt = :erlang.unique_integer([:positive])
    bytes = :binary.copy(<<salt::64>>, 20)
    <<_::3, unaligned::bitstring>> = bytes
    <<_::5, odd::bitstring-size(77), _::bitstring>> = bytes
    <<_::5, whole_bytes::bitstring-size(800), _::bitstring>> = bytes
    map = Map.new(1..100, &{&1, salt})

    [
      appended(<<salt::64>>, 40),
      unaligned,
      odd,
      whole_bytes,
      alias_reference(),
      :atomics.new(1, []),
      make_ref(),
      map,
      fn -> salt end,
      fn x -> {x, salt, map} end,
      &Enum.map/2
    ]
  end

  # A binary that grows in place.
  defp appended(bytes, 0), do: bytes
  defp appended(bytes, n), do: appended(<<bytes::binary, n>>, n - 1)

  # Its number lives on when the alias is gone.
  defp alias_reference do
    alias = :erlang.alias()
    :erlang.unalias(alias)
    alias
  end
end
