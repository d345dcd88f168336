defmodule ElixirScope.Test.ElixirSource do
  @moduledoc "Elixir modules of random functions, as text; see `ElixirScope.Test.ErlangSource`."

  import ElixirScope.Test.Generate, only: [one_of: 1, integer: 1]

  @functions 3

  @doc "A module, and the functions that may be called: `{text, [{name, arity}]}`."
  def module(name) do
    Process.put(:fresh, 0)
    functions = for n <- 1..@functions, do: {"f#{n}", integer(1..3)}
    ctx = %{functions: functions, vars: [], fuel: nil}

    text =
      IO.iodata_to_binary([
        "defmodule #{inspect(module_name(name))} do\n",
        "@compile {:debug_info, true}\n",
        "alias ElixirScope.Test.Stage\n",
        "defstruct a: 1, b: nil\n",
        Enum.map(functions, &function(&1, ctx)),
        "def default(n, x \\\\ 2, y \\\\ :y)\n",
        "def default(n, x, y) when n > 0, do: default(n - 1, {x, y})\n",
        "def default(_n, x, y), do: {x, y}\n",
        "defdelegate elsewhere(fun, args), to: Stage, as: :apply\n",
        "end\n"
      ])

    {text, for({f, a} <- functions, do: {String.to_atom(f), a})}
  end

  def module_name(name), do: Module.concat(ScopeProgram, Macro.camelize(name))

  def compile(text, options) do
    # a test's own compiler options: those of the project say nothing of warnings
    text = String.replace(text, "do\n", "do\n@compile #{inspect(options)}\n", global: false)

    ExUnit.CaptureIO.with_io(:stderr, fn ->
      try do
        [{module, beam}] = Code.compile_string(text, "program.ex")
        :code.delete(module)
        :code.purge(module)
        {:ok, beam}
      rescue
        error in CompileError -> {:error, error}
      end
    end)
    |> elem(0)
  end

  defp function({name, arity}, ctx) do
    kind = if integer(1..2) == 1 and arity > 1, do: "when n0 > 0 ", else: ""
    any = for _ <- 2..arity//1, do: fresh("v")
    general = %{ctx | vars: [{"n0", :int} | Enum.map(any, &{&1, :any})], fuel: "n0"}

    [
      "def #{name}(#{Enum.join(["n0" | List.duplicate("_", arity - 1)], ", ")}) when n0 <= 0 do\n0\nend\n",
      if(arity > 1, do: [clause(name, arity, ctx)], else: []),
      "def #{name}(#{Enum.join(["n0" | any], ", ")}) #{kind}do\n",
      body(general, 3),
      "\nend\n"
    ]
  end

  defp clause(name, arity, ctx) do
    {patterns, vars} =
      Enum.map_reduce(2..arity, [], fn _, vars ->
        {pattern, more} = pattern(2)
        {pattern, more ++ vars}
      end)

    ctx = %{ctx | vars: [{"n0", :int} | vars], fuel: "n0"}
    ["def #{name}(#{Enum.join(["n0" | patterns], ", ")})", guards(ctx), " do\n", body(ctx, 3), "\nend\n"]
  end

  defp variable do
    name = fresh("v")
    {name, [{name, :any}]}
  end

  defp pattern(0), do: variable()

  defp pattern(depth) do
    one_of([
      fn -> variable() end,
      fn -> {one_of(["0", ":a", ":ok", "[]", "\"abc\"", "2.5", "nil"]), []} end,
      fn -> nested(depth, 2, fn [a, b] -> "{#{a}, #{b}}" end) end,
      fn -> nested(depth, 2, fn [a, b] -> "[#{a} | #{b}]" end) end,
      fn -> nested(depth, 1, fn [a] -> "{:ok, #{a}}" end) end,
      fn -> nested(depth, 1, fn [a] -> "%{a: #{a}}" end) end,
      fn -> nested(depth, 1, fn [a] -> "%__MODULE__{a: #{a}}" end) end,
      fn ->
        {name, vars} = variable()
        {"\"a\" <> #{name}", vars}
      end,
      fn ->
        {name, vars} = variable()
        {"<<#{name}, _::binary>>", vars}
      end,
      fn ->
        {name, vars} = variable()
        {inner, more} = pattern(depth - 1)
        {"#{name} = #{inner}", vars ++ more}
      end
    ]).()
  end

  defp nested(depth, count, text) do
    {patterns, vars} =
      Enum.map_reduce(1..count, [], fn _, vars ->
        {pattern, more} = pattern(depth - 1)
        {pattern, more ++ vars}
      end)

    {text.(patterns), vars}
  end

  defp guards(ctx) do
    case integer(1..4) do
      1 -> [" when ", guard(ctx)]
      2 -> [" when ", guard(ctx), one_of([" and ", " or ", " when "]), guard(ctx)]
      _ -> ""
    end
  end

  defp guard(ctx) do
    var = var(ctx)

    one_of([
      "is_integer(#{var})",
      "#{var} > 2",
      "#{var} in [:a, 1, nil]",
      "is_list(#{var})",
      "elem(#{var}, 0) == :ok",
      "is_struct(#{var})",
      "not is_binary(#{var})"
    ])
  end

  defp body(ctx, depth) do
    {statements, ctx} =
      Enum.map_reduce(List.duplicate(:statement, integer(0..2)), ctx, fn _, ctx ->
        statement(ctx, depth - 1)
      end)

    [Enum.map(statements, &[&1, "\n"]), last(ctx, depth)]
  end

  defp statement(ctx, depth) do
    case integer(1..7) do
      1 ->
        name = fresh("i")
        {[name, " = Stage.int(", value(ctx, depth), ")"], %{ctx | vars: [{name, :int} | ctx.vars]}}

      2 ->
        {["Process.put(#{one_of([":k1", ":k2"])}, ", value(ctx, depth), ")"], ctx}

      3 ->
        {["send(Stage.listener(), ", value(ctx, depth), ")"], ctx}

      4 ->
        {["send(self(), {:m, ", value(ctx, depth), "})"], ctx}

      5 ->
        {["_ = ", last(ctx, depth)], ctx}

      6 when ctx.vars != [] ->
        # bound anew
        {name, _type} = one_of(ctx.vars)

        if name == ctx.fuel,
          do: statement(ctx, depth),
          else:
            {[name, " = ", value(ctx, depth)],
             %{ctx | vars: [{name, :any} | List.keydelete(ctx.vars, name, 0)]}}

      _ ->
        name = fresh("v")
        {[name, " = ", value(ctx, depth)], %{ctx | vars: [{name, :any} | ctx.vars]}}
    end
  end

  defp last(ctx, depth) when depth <= 0, do: one_of([&call/1, &call/1, &value(&1, 0)]).(ctx)

  defp last(ctx, depth) do
    one_of([
      fn -> call(ctx) end,
      fn -> call(ctx) end,
      fn -> call(ctx) end,
      fn -> value(ctx, depth) end,
      fn -> value(ctx, depth) end,
      fn -> case_of(ctx, depth) end,
      fn -> with_of(ctx, depth) end,
      fn ->
        [
          "cond do\n",
          condition(ctx),
          " -> ",
          body(ctx, depth - 1),
          "\n",
          condition(ctx),
          " -> ",
          body(ctx, depth - 1),
          maybe("\ntrue -> :none"),
          "\nend"
        ]
      end,
      fn ->
        ["if ", condition(ctx), " do\n", body(ctx, depth - 1), "\nelse\n", body(ctx, depth - 1), "\nend"]
      end,
      fn -> ["unless ", condition(ctx), " do\n", body(ctx, depth - 1), "\nend"] end,
      fn -> receive_of(ctx, depth) end,
      fn -> try_of(ctx, depth) end,
      fn -> try_of(ctx, depth) end,
      fn -> [condition(ctx), one_of([" && ", " || "]), "(", last(ctx, depth - 1), ")"] end,
      fn -> ["is_integer(", var(ctx), one_of([") and ", ") or "]), "(", last(ctx, depth - 1), ")"] end,
      fn -> then_of(ctx, depth) end,
      fn -> for_of(ctx, depth) end,
      fn -> raising(ctx, depth) end
    ]).()
  end

  defp value(ctx, depth) when depth <= 0, do: one_of([var(ctx), literal()])

  defp value(ctx, depth) do
    less = fn -> value(ctx, depth - 1) end

    one_of([
      fn -> var(ctx) end,
      fn -> literal() end,
      fn -> call(ctx) end,
      fn -> call(ctx) end,
      fn -> ["{", less.(), ", ", less.(), "}"] end,
      fn -> ["[", less.(), ", ", less.(), "]"] end,
      fn -> ["%{a: ", less.(), ", b: ", less.(), "}"] end,
      fn -> ["%__MODULE__{b: ", less.(), "}"] end,
      fn -> ["%{", one_of(["%{a: 2}", less.()]), " | a: ", less.(), "}"] end,
      fn -> ["(", less.(), ").a"] end,
      fn -> ["\"\#{Stage.int(", less.(), ")}-\#{inspect(Stage.int(", less.(), "))}\""] end,
      fn -> ["(Stage.int(", less.(), ") ", one_of(["+", "*", "-"]), " Stage.int(", less.(), "))"] end,
      fn -> ["(", less.(), " + 1)"] end,
      fn -> ["Stage.call(", fun(ctx, depth), ", ", less.(), ")"] end,
      fn -> ["Enum.map([1, 2, 3], ", fun(ctx, depth), ")"] end,
      fn -> ["Enum.reduce([1, 2], ", less.(), ", fn x, acc -> {x, acc} end)"] end,
      fn ->
        ["([1, 2] |> Enum.map(&{&1, ", var(ctx), "}) |> Enum.reject(&(elem(&1, 0) == ", var(ctx), ")))"]
      end,
      fn -> fun(ctx, depth) end,
      fn -> ["(", case_of(ctx, depth), ")"] end,
      fn -> ["(", try_of(ctx, depth), ")"] end,
      fn -> ["(", for_of(ctx, depth), ")"] end,
      fn -> ["default(1, ", less.(), ")"] end,
      fn -> ["Map.fetch!(", less.(), ", :a)"] end,
      fn -> ["String.to_integer(", less.(), ")"] end,
      fn -> ["hd(", less.(), ")"] end,
      fn -> ["Process.get(:k1)"] end,
      fn -> ["Task.await(Task.async(fn -> ", value(%{ctx | fuel: nil}, depth - 1), " end))"] end
    ]).()
  end

  defp literal,
    do:
      one_of(["0", "1", "7", ":a", ":ok", "nil", "[]", "{:ok, 1}", "[1, 2, 3]", "\"abc\"", "2.5", "%{a: 1}"])

  defp call(%{fuel: nil} = ctx), do: var(ctx)

  defp call(ctx) do
    {name, arity} = one_of(ctx.functions)
    args = Enum.intersperse([[ctx.fuel, " - 1"] | for(_ <- 2..arity//1, do: value(ctx, integer(0..1)))], ", ")

    one_of([
      [name, "(", args, ")"],
      [name, "(", args, ")"],
      [name, "(", args, ")"],
      ["__MODULE__.", name, "(", args, ")"],
      ["Stage.this(__MODULE__).", name, "(", args, ")"],
      ["apply(__MODULE__, :", name, ", [", args, "])"],
      ["(&", name, "/#{arity}).(", args, ")"],
      ["elsewhere(&", name, "/#{arity}, [", args, "])"]
    ])
  end

  defp condition(ctx) do
    var = var(ctx)
    one_of([var, "is_list(#{var})", "#{var} == 1", "match?({:ok, _}, #{var})", "Stage.int(#{var}) > 2"])
  end

  defp case_of(ctx, depth),
    do: [
      "case ",
      one_of([var(ctx), value(ctx, depth - 1)]),
      " do\n",
      clauses(ctx, depth),
      maybe(["_ -> ", var(ctx), "\n"]),
      "end"
    ]

  defp clauses(ctx, depth) do
    for _ <- 1..integer(1..3) do
      {pattern, vars} = pattern(2)
      ctx = %{ctx | vars: vars ++ ctx.vars}
      [pattern, guards(ctx), " ->\n", body(ctx, depth - 1), "\n"]
    end
  end

  defp with_of(ctx, depth) do
    {p1, v1} = pattern(1)
    ctx1 = %{ctx | vars: v1 ++ ctx.vars}
    {p2, v2} = pattern(1)
    ctx2 = %{ctx1 | vars: v2 ++ ctx1.vars}

    [
      ["with ", p1, " <- ", value(ctx, depth - 1), ",\n", p2, " <- ", value(ctx1, depth - 1), " do\n"],
      [body(ctx2, depth - 1), maybe(["\nelse\n", clauses(ctx, depth)]), "\nend"]
    ]
  end

  defp receive_of(ctx, depth) do
    name = fresh("v")
    inner = %{ctx | vars: [{name, :any} | ctx.vars]}

    [
      "receive do\n{:m, ",
      name,
      "}",
      guards(inner),
      " ->\n",
      body(inner, depth - 1),
      "\nafter\n0 ->\n",
      body(ctx, depth - 1),
      "\nend"
    ]
  end

  defp try_of(ctx, depth) do
    r = fresh("r")
    inner = %{ctx | vars: [{r, :any} | ctx.vars]}

    handler =
      one_of([
        ["rescue\n", r, " ->\n", body(inner, depth - 1), "\n"],
        ["rescue\n", r, " in [ArgumentError, KeyError] ->\n", body(inner, depth - 1), "\n"],
        ["rescue\n", r, " ->\nreraise(", r, ", __STACKTRACE__)\n"],
        ["catch\n", r, " ->\n", body(inner, depth - 1), "\n"],
        ["catch\n:error, ", r, " ->\nProcess.put(:stack, __STACKTRACE__)\n", body(inner, depth - 1), "\n"],
        ["catch\n:exit, ", r, " ->\n", body(inner, depth - 1), "\n"]
      ])

    otherwise = maybe(["else\n", clauses(ctx, depth)])

    finally =
      if integer(1..4) == 1, do: ["after\nProcess.put(:after, ", value(ctx, depth - 1), ")\n"], else: []

    ["try do\n", body(ctx, depth - 1), "\n", handler, otherwise, finally, "end"]
  end

  # A fun that is called where it stands.
  defp then_of(ctx, depth) do
    name = fresh("v")

    [
      paren(value(ctx, depth - 1)),
      " |> then(fn ",
      name,
      " ->\n",
      body(%{ctx | vars: [{name, :any} | ctx.vars]}, depth - 1),
      "\nend)"
    ]
  end

  defp paren(text), do: ["(", text, ")"]

  defp for_of(ctx, depth) do
    name = fresh("x")
    inner = %{ctx | vars: [{name, :any} | ctx.vars]}
    options = one_of(["", ", into: %{}, uniq: true", ", uniq: true", ", into: \"\""])

    value =
      case options do
        ", into: %{}" <> _ -> ["{", name, ", ", value(inner, depth - 1), "}"]
        ", into: \"\"" -> ["<<Stage.int(", value(inner, depth - 1), ")>>"]
        _list -> value(inner, depth - 1)
      end

    [
      "for ",
      name,
      " <- ",
      one_of(["[1, 2, 3]", var(ctx)]),
      maybe([", ", name, " != 2"]),
      options,
      ", do: ",
      value
    ]
  end

  defp fun(ctx, depth) do
    name = fresh("v")
    ["fn ", name, " ->\n", body(%{ctx | vars: [{name, :any} | ctx.vars]}, depth - 1), "\nend"]
  end

  defp raising(ctx, depth) do
    v = value(ctx, depth - 1)

    one_of([
      ["throw(", v, ")"],
      ["exit(", v, ")"],
      ["raise(ArgumentError, \"\#{Stage.int(", v, ")}\")"],
      [":erlang.error(", v, ")"]
    ])
  end

  defp maybe(text), do: if(integer(1..2) == 1, do: text, else: [])

  defp var(%{vars: []}), do: literal()
  defp var(%{vars: vars}), do: vars |> one_of() |> elem(0)

  defp fresh(letter) do
    number = Process.get(:fresh) + 1
    Process.put(:fresh, number)
    "#{letter}#{number}"
  end
end
