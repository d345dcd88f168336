defmodule ElixirScope.QuickTermsTest do
  # Small terms are written by a way of their own. Inside of a tuple with a bit string, which that way does not know, the
  # same term goes the long way; both must write the same.
  use ExUnit.Case, async: true

  import ElixirScope.Test.Generate

  alias ElixirScope.{Native, RawTerms}

  setup_all do
    RawTerms.learn()
    :ok
  end

  setup do
    seed()
    :ok
  end

  defp quickly(term, options), do: Native.term_encode(term, Map.put(options, :steps, true))

  defp at_length(term, options) do
    options = Map.update(options, :depth, :infinity, &deeper/1)
    bits = byte_size(Native.term_encode(<<1::1>>, %{}))
    {bytes, steps} = quickly({term, <<1::1>>}, options)
    # the tuple's tag and size stand before
    {binary_part(bytes, 2, byte_size(bytes) - bits - 2), steps - 2}
  end

  defp deeper(depth) when is_integer(depth), do: depth + 1
  defp deeper(:infinity), do: :infinity

  defp assert_same(term, options) do
    assert quickly(term, options) == at_length(term, options), inspect({term, options})
  end

  describe "a small term is written as at length" do
    test "whatever it is" do
      for _ <- 1..3_000, raw <- [true, false], do: assert_same(term(), %{raw: raw})
    end

    test "at every size of number, text and container" do
      for bits <- 0..62, number <- [2 ** bits - 1, 2 ** bits, -(2 ** bits)] do
        assert_same(number, %{})
        assert_same(%{number => [number]}, %{})
      end

      for length <- 0..4_500//7, do: assert_same(String.duplicate("x", length), %{})
      for length <- 0..2_000//9, do: assert_same(Enum.to_list(1..length//1), %{})
      for size <- 0..300//3, do: assert_same(Tuple.duplicate("abc", size), %{})
      for size <- 0..32, do: assert_same(Map.new(1..size//1, &{&1, :a}), %{})
    end

    test "at every depth and length that is allowed" do
      for depth <- 0..8, length <- [:infinity, 0, 1, 2, 3], _ <- 1..50 do
        assert_same(term(4), %{depth: depth, length: length})
      end
    end

    test "with what is masked" do
      values = [1, "x", %{password: 1, name: 2}, [password: "a", b: 1], {:password, 2}]
      keys = [:password, :name, "password", "PassWord", "x-token", :b, 3, ~c"password", nil, [], {1}]

      for redact <- [["password", "x_token"], {:only, ["name", "b"]}], _ <- 1..500 do
        map = Map.new(1..3, fn _ -> {one_of(keys), one_of(values)} end)
        pairs = for _ <- 1..3, do: {one_of(keys), one_of([map | values])}

        for term <- [map, pairs, hd(pairs), {:ok, pairs}, %{deep: %{deep: map}}] do
          assert_same(term, %{redact: redact})
        end
      end
    end
  end
end
