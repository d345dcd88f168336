defmodule ElixirScope.Tracing.FunctionHeadTest do
  use ExUnit.Case, async: true

  require ElixirScope

  defmodule Cart do
    defstruct [:user, :items]
  end

  # Whether the VM lets a call with these arguments pass.
  defp passes?({:match, {Some, :fun, arity}, spec}, args) do
    assert arity == length(args)
    assert {:ok, result, [], []} = :erlang.match_spec_test(args, spec, :trace)
    result
  end

  # Elixir itself says which arguments a head takes.
  defmacrop assert_same(head, candidates) do
    {call, guard} =
      with {:when, _meta, [call, guard]} <- head, do: {call, guard}, else: (call -> {call, true})

    {{:., _, _}, _, patterns} = call

    quote do
      match = ElixirScope.match(unquote(head))

      for args <- unquote(candidates) do
        expected =
          case args do
            unquote(patterns) when unquote(guard) -> true
            _other -> false
          end

        assert {args, passes?(match, args)} == {args, expected}
      end

      assert length(Enum.uniq(for(args <- unquote(candidates), do: passes?(match, args)))) == 2
    end
  end

  @values [
    0,
    1,
    -1,
    2.5,
    7,
    :a,
    :b,
    nil,
    true,
    false,
    "a",
    "ab",
    "",
    [],
    [1],
    [1, 2],
    [1 | 2],
    [a: 1],
    {},
    {1},
    {1, 2},
    {2, 1},
    {:ok, 1},
    {:ok, :a},
    %{},
    %{a: 1},
    %{a: 1, b: 2},
    %{"a" => 1},
    %{a: %{b: 7}},
    %{user: 1},
    ~c"ab"
  ]

  defp ones, do: for(value <- @values ++ [%Cart{user: 1}, self(), make_ref(), &is_atom/1], do: [value])
  defp pairs, do: for(one <- @values, other <- @values, do: [one, other])

  @tag :capture_log
  test "takes the calls that the same head of a function takes" do
    assert_same(Some.fun(1), ones())
    assert_same(Some.fun(-1), ones())
    assert_same(Some.fun(:a), ones())
    assert_same(Some.fun("ab"), ones())
    assert_same(Some.fun([]), ones())
    assert_same(Some.fun([_ | _]), ones())
    assert_same(Some.fun([1 | rest]) when rest != [], ones())
    assert_same(Some.fun([_one, _two]), ones())
    assert_same(Some.fun(a: 1), ones())
    assert_same(Some.fun({:ok, x}) when is_atom(x), ones())
    assert_same(Some.fun({1, _}), ones())
    assert_same(Some.fun({}), ones())
    assert_same(Some.fun(%{}), ones())
    assert_same(Some.fun(%{a: 1}), ones())
    assert_same(Some.fun(%{"a" => _}), ones())
    assert_same(Some.fun(%{a: %{b: x}}) when x == 7, ones())
    assert_same(Some.fun(%Cart{}), ones())
    assert_same(Some.fun(%Cart{user: user}) when user in [1, 2], ones())
    assert_same(Some.fun(%_{}), ones())
    assert_same(Some.fun(x, x), pairs())
    assert_same(Some.fun({x, y}, _) when x < y, pairs())
    assert_same(Some.fun(x, y) when x === y, pairs())
    assert_same(Some.fun(x, y) when x > y, pairs())
    assert_same(Some.fun(nil, _unused), pairs())
  end

  test "takes the guards of Elixir" do
    assert_same(Some.fun(x) when x > 0, ones())
    assert_same(Some.fun(x) when is_integer(x) and x <= 1, ones())
    assert_same(Some.fun(x) when x != 1 and x !== 0, ones())
    assert_same(Some.fun(x) when not is_atom(x), ones())
    assert_same(Some.fun(x) when x in [1, :a, "a"], ones())
    assert_same(Some.fun(x) when x not in [1, :a, "a"], ones())
    assert_same(Some.fun(x) when x in 0..7, ones())
    assert_same(Some.fun(x) when is_boolean(x), ones())
    assert_same(Some.fun(x) when is_nil(x), ones())
    assert_same(Some.fun(x) when is_struct(x), ones())
    assert_same(Some.fun(x) when is_struct(x, Cart), ones())
    assert_same(Some.fun(x) when is_map_key(x, :a), ones())
    assert_same(Some.fun(x) when x.a == 1, ones())
    assert_same(Some.fun(x) when x.a.b == 7, ones())
    assert_same(Some.fun(x) when elem(x, 1) == 1, ones())
    assert_same(Some.fun(x) when tuple_size(x) == 2, ones() -- [["ab"]])
    assert_same(Some.fun(x) when byte_size(x) == 2, ones() -- [[{1, 2}], [{2, 1}], [{:ok, 1}], [{:ok, :a}]])
    assert_same(Some.fun(x) when map_size(x) == 1, ones())
    assert_same(Some.fun(x) when length(x) == 1, ones())
    assert_same(Some.fun(x) when hd(x) == 1 and tl(x) == [], ones())
    assert_same(Some.fun(x) when rem(x, 2) == 1, ones())
    assert_same(Some.fun(x) when x + 1 == 2 or x * 2 == 14, ones())
    assert_same(Some.fun(x) when abs(x) == 1, ones())
    assert_same(Some.fun(x) when x == {1, 2}, ones())
    assert_same(Some.fun(x) when x == [1, 2], ones())
    assert_same(Some.fun(x) when is_function(x), ones())
    assert_same(Some.fun(x) when is_pid(x) or is_reference(x), ones())
    assert_same(Some.fun(x) when Bitwise.band(x, 2) == 2, ones())
    assert_same(Some.fun(x) when Kernel.is_map_key(x, :a), ones())
    assert_same(Some.fun(x) when x > 5 when x == :a, ones())
  end

  test "takes values from outside, whatever they are" do
    for value <- [[1], {1, 2}, %{a: 1}, :"$1", :_, nil] do
      match = ElixirScope.match(Some.fun(^value))
      assert passes?(match, [value])
      refute passes?(match, [:something_else])

      match = ElixirScope.match(Some.fun(x, %{key: ^value}) when x == ^value)
      assert passes?(match, [value, %{key: value}])
      refute passes?(match, [:something_else, %{key: value}])
    end
  end

  test "takes functions without arguments, and names of Erlang" do
    assert ElixirScope.match(:lists.reverse([])) == {:match, {:lists, :reverse, 1}, [{[[]], [], []}]}
    assert ElixirScope.match(Node.self()) == {:match, {Node, :self, 0}, [{[], [], []}]}
  end

  describe "what a match spec does not know is an error when it is compiled, with a caret under it:" do
    defp error(code) do
      error =
        assert_raise CompileError, fn ->
          Code.eval_string("require ElixirScope\nElixirScope.match(#{code})")
        end

      assert error.line == 2
      [why, "" | shown] = String.split(error.description, "\n")
      {why, Enum.map(shown, &String.trim_trailing/1)}
    end

    test "parts of binaries" do
      assert error(~S|Some.fun(1, "a" <> rest)|) ==
               {"a match spec cannot take a binary apart",
                [~S|    Some.fun(1, "a" <> rest)|, ~S|                ^|]}

      assert {"a match spec cannot take a binary apart", _} = error("Some.fun(<<a, _::binary>>)")
    end

    test "names for parts" do
      assert error("Some.fun(%{a: 1} = map)") ==
               {"a match spec has no name for what it takes apart",
                ["    Some.fun(%{a: 1} = map)", "             ^"]}
    end

    test "variables that the pattern does not have" do
      assert error("Some.fun(x) when x > y") ==
               {"the pattern has no such variable; one from outside is pinned by ^",
                ["    Some.fun(x) when x > y", "                         ^"]}
    end

    test "other functions in guards" do
      assert {"this is no guard that a match spec has", ["    Some.fun(x) when String.length(x) == 1", caret]} =
               error("Some.fun(x) when String.length(x) == 1")

      assert caret == "                     ^"

      assert {"a match spec cannot ask for the arity of a function", _} =
               error("Some.fun(x) when is_function(x, 1)")

      assert {"this is no guard that a match spec has", _} = error("Some.fun(x) when is_bitstring(x)")
    end

    test "atoms that mean something else" do
      assert {"this atom means something else in a match spec", ["    Some.fun(:_)", "             ^"]} =
               error("Some.fun(:_)")

      assert {"this atom means something else in a match spec", _} = error(~S|Some.fun(:"$1")|)
    end

    test "what is no head of a function" do
      assert {"expected the head of a function" <> _, _} = error("fun(1)")
      assert {"expected the head of a function" <> _, _} = error("7")

      assert {"the module has to be known" <> _, _} =
               error("(List).fun.(1)") |> then(fn _ -> error("mod.fun(1)") end)

      assert {"this is no pattern that a match spec has", _} = error("Some.fun(fn -> 1 end)")
    end
  end
end
