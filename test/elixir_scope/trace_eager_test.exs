defmodule ElixirScope.Trace.EagerTest do
  # What a mark evaluates while the recorder is off must be nothing that anybody could notice.
  use ExUnit.Case, async: true

  alias ElixirScope.Trace.Eager

  defp cheap?(source) do
    {x, y} = {1, 2}
    _ = {x, y}
    Eager.cheap?([Code.string_to_quoted!(source)], __ENV__)
  end

  describe "evaluated at once" do
    test "are literals, whatever their size" do
      for source <- ~w(:a 1 2.5 "text" nil Some.Module __MODULE__ [] %{} {}),
          do: assert(cheap?(source), source)

      assert cheap?(inspect(Map.new(1..30, &{&1, [&1, "text"]}), limit: :infinity))
      assert cheap?(inspect(Enum.to_list(1..100), limit: :infinity))
    end

    test "are variables, and small tuples and lists of them" do
      for source <- [
            "x",
            "{x, y}",
            "[a: x]",
            "{:a, 1, x, %{b: 2}}",
            "[x, y, :a]",
            "[x | y]",
            "{:a, [x]}"
          ],
          do: assert(cheap?(source), source)
    end
  end

  describe "left until the recorder runs" do
    test "is whatever calls, fails, or can be seen" do
      for source <- [
            "f()",
            "not_a_variable",
            "x + y",
            "%{x | a: 1}",
            "%{f() => x}",
            "%{x => 1}",
            "x.field",
            "@attribute",
            "\"\#{x}\"",
            "<<x>>",
            "&f/1",
            "fn -> x end",
            "%Range{first: x}",
            "self()",
            "__STACKTRACE__",
            "[x | f()]",
            "{x, f()}",
            "if(x, do: y)",
            "x = y"
          ],
          do: refute(cheap?(source), source)
    end

    test "is what costs much to make" do
      refute cheap?("%{a: x}")
      refute cheap?("{x, y, x, y, x, y, x, y, x}")
      refute cheap?("[x, x, x, x, x, x, x, x, x, x, x, x]")
    end
  end

  test "is what the marks go by" do
    require ElixirScope.Trace, warn: false
    x = 1

    expand = fn source ->
      "ElixirScope.Trace." |> Kernel.<>(source) |> Code.string_to_quoted!() |> Macro.expand_once(__ENV__)
    end

    assert {{:., _, [_, :event]}, _, [_site, :name, _data]} = expand.("event(:name, {:a, x})")

    assert {{:., _, [_, :event_map]}, _, [_site, :name, _places, 2, _x]} =
             expand.("event(:name, %{b: 2, a: x})")

    assert {:case, _, [{{:., _, [_, :recording]}, _, []}, _]} = expand.("event(:name, %{a: x + 1})")

    assert {{:., _, [_, :metric]}, _, [_site, :name, _x, :byte, nil]} =
             expand.("metric(:name, x, unit: :byte)")

    assert {:case, _, [{{:., _, [_, :recording]}, _, []}, _]} = expand.("metric(:name, 1, x)")
    assert x == 1
  end

  describe "a map that is written out" do
    defp fields(source) do
      x = 1
      _ = x
      Eager.fields(Code.string_to_quoted!(source), __ENV__)
    end

    test "need not be made where its keys are a few names, and its values cheap" do
      assert {%{b: 0, a: 1}, [2, {:x, _, nil}]} = fields("%{b: 2, a: x}")
      assert {%{a: 0}, [[]]} = fields("%{a: []}")

      for source <- [
            "%{}",
            "x",
            "%{x | a: 1}",
            "%{\"a\" => x}",
            "%{x => 1}",
            "%{a: f()}",
            "%{a: %{b: x}}",
            "%{a: 1, a: x}"
          ],
          do: assert(fields(source) == nil, source)

      assert fields(inspect(Map.new(1..7, &{:"k#{&1}", &1}))) == nil
    end
  end
end
