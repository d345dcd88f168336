defmodule ElixirScope.RawTerms do
  @moduledoc false

  # The terms by which the native library learns how this VM lays out its words; see `native/elixir_scope_nif/src/term/raw/`.
  # Shown to it once, when the application starts. Until then, and where a shape fails its test, terms are read through
  # the NIF interface. Most shapes the library makes for itself; here are those that only the VM or compiled code makes,
  # and others as further tests.

  alias ElixirScope.Native

  @doc "Has the library learn and test each shape; what it makes of them is in `Native.term_shapes/0`."
  @spec learn() :: :ok
  def learn do
    # An alias and a table have to be alive while they are looked at.
    alias = :erlang.alias()
    table = :ets.new(__MODULE__, [:private])

    try do
      Native.raw_learn([alias, table | samples()])
    after
      :ets.delete(table)
      :erlang.unalias(alias)
    end

    :ok
  end

  @doc "Terms of many shapes, made at run time so that they are not literals."
  @spec samples() :: [term]
  def samples do
    one = :rand.uniform(1)

    List.flatten([
      binaries(one),
      references(),
      # The fun and the map that follow are no lists: flattening leaves them whole.
      funs(one),
      maps(one),
      [one, -one, 0.5 * one, Bitwise.bsl(one, 70), -Bitwise.bsl(one, 70), {one, {}}, self()],
      Enum.take(Port.list(), 1)
    ]) ++ [[one, 2], [one | 2], [[one], :atom]]
  end

  defp binaries(one) do
    small = String.duplicate("heap", one)
    large = String.duplicate("shared ", 100 * one)
    appended = Enum.reduce(1..200, <<one>>, fn n, binary -> <<binary::binary, n>> end)
    <<_skipped::3, inside::bitstring>> = large
    <<_bits::3, inside_small::bitstring>> = small

    [
      small,
      large,
      appended,
      <<appended::binary, one::3>>,
      binary_part(large, 7, 300),
      binary_part(small, 1, 2),
      inside,
      inside_small,
      <<one::5>>
    ]
  end

  defp references do
    [make_ref(), :atomics.new(1, []), :counters.new(1, []), Process.monitor(self())]
  end

  defp funs(one) do
    two = {one, one}
    [fn -> one end, fn x -> {x, one, two} end, fn -> :nothing end, &Enum.map/2, &binaries/1]
  end

  defp maps(one) do
    for size <- [0, 1, 5, 32, 33, 100, 1_000] do
      Map.new(1..(size * one)//1, &{{:key, &1}, &1})
    end
  end
end
