defmodule ElixirScope.Test.ErlangSource do
  @moduledoc """
  Erlang modules of random functions, as text: clauses, guards, nesting, exceptions, tail calls of all kinds.

  Every function takes first how deep it may still call, so that all of them end. What else a program needs (a value made an
  integer, a process that listens) is in `ElixirScope.Test.Stage`.
  """

  import ElixirScope.Test.Generate, only: [one_of: 1, integer: 1]

  @functions 3

  # ctx: %{module, functions: [{name, arity}], vars: [{name, :int | :any}], fuel: variable name or nil}

  @doc "A module, and the functions that may be called: `{text, [{name, arity}]}`."
  def module(name) do
    Process.put(:fresh, 0)
    functions = for n <- 1..@functions, do: {"f#{n}", integer(1..4)}
    # more arguments than there are calls of their own for
    functions = if integer(1..5) == 1, do: [{"wide", 10} | functions], else: functions
    ctx = %{module: name, functions: functions, vars: [], fuel: nil, in_try: false}
    bodies = for function <- functions, do: function(function, ctx)

    text =
      IO.iodata_to_binary([
        "-module(#{name}).\n",
        "-export([#{Enum.map_join(functions, ", ", fn {f, a} -> "#{f}/#{a}" end)}]).\n",
        "-record(r, {a, b = 1}).\n\n",
        Enum.intersperse(bodies, "\n"),
        "\n"
      ])

    {text, for({f, a} <- functions, do: {String.to_atom(f), a})}
  end

  def module_name(name), do: String.to_atom(name)

  @doc "The beam of a module's text, with its debug information; `maybe` where this OTP knows it."
  def compile(text, options \\ []) do
    {:ok, tokens, _end} = :erl_scan.string(String.to_charlist(text), {1, 1}, reserved_word_fun: &reserved?/1)
    file = {:attribute, {1, 1}, :file, {~c"program.erl", 1}}
    forms = [file | tokens |> expand() |> split([]) |> Enum.map(&form/1)]
    options = [:binary, :return_errors, :debug_info, :nowarn_unused_vars | options]

    case :compile.noenv_forms(forms, options) do
      {:ok, _module, beam} -> {:ok, beam}
      {:error, errors, _warnings} -> {:error, errors}
    end
  end

  defp form(tokens) do
    {:ok, form} = :erl_parse.parse_form(tokens)
    form
  end

  defp reserved?(word) when word in [:maybe, :else], do: true
  defp reserved?(word), do: :erl_scan.reserved_word(word)

  # ?MODULE
  defp expand(tokens) do
    {:atom, _, module} = Enum.at(tokens, 3)
    expand(tokens, module)
  end

  defp expand([{:"?", _}, {:var, at, :MODULE} | rest], module),
    do: [{:atom, at, module} | expand(rest, module)]

  defp expand([token | rest], module), do: [token | expand(rest, module)]
  defp expand([], _module), do: []

  defp split([], []), do: []
  defp split([{:dot, _} = dot | rest], form), do: [Enum.reverse([dot | form]) | split(rest, [])]
  defp split([token | rest], form), do: split(rest, [token | form])

  defp function({name, arity}, ctx) do
    clauses = for _ <- 1..integer(1..2), do: clause(name, arity, ctx)
    # the last one ends the recursion, whatever came before
    first = head(name, ["0" | List.duplicate("_", arity - 1)], "", value(%{ctx | vars: []}, 1))
    any = for _ <- 2..arity//1, do: fresh("V")
    fuel = fresh("N")
    ctx = %{ctx | vars: for(name <- any, do: {name, :any}) ++ [{fuel, :int}], fuel: fuel}
    rest = if integer(1..4) > 1, do: [head(name, [fuel | any], "", body(ctx, 3))], else: []
    IO.iodata_to_binary([Enum.intersperse([first | clauses] ++ rest, ";\n"), ".\n"])
  end

  defp clause(name, arity, ctx) do
    fuel = fresh("N")
    {patterns, vars} = if arity > 1, do: patterns(arity - 1), else: {[], []}
    ctx = %{ctx | vars: [{fuel, :int} | vars], fuel: fuel}
    # wholly general ones often enough that not everything fails at the door
    head(name, [fuel | patterns], guards(ctx), body(ctx, 3))
  end

  defp head(name, patterns, guards, body),
    do: ["#{name}(", Enum.intersperse(patterns, ", "), ")", guards, " ->\n    ", body]

  # -- Patterns and guards ------------------------------------------------------------------------------------------------

  defp patterns(count) do
    Enum.map_reduce(1..count, [], fn _, vars ->
      {pattern, more} = if integer(1..4) == 1, do: pattern(2), else: variable()
      {pattern, more ++ vars}
    end)
    |> repeated()
  end

  # f(X, X)
  defp repeated({[first, _second | rest], [_, _ | _] = vars} = patterns) do
    if integer(1..12) == 1 and List.keymember?(vars, first, 0),
      do: {[first, first | rest], [{first, :any}]},
      else: patterns
  end

  defp repeated(patterns), do: patterns

  defp variable do
    name = fresh("V")
    {name, [{name, :any}]}
  end

  defp pattern(0), do: variable()

  defp pattern(depth) do
    one_of([
      fn -> variable() end,
      fn -> {"_", []} end,
      fn -> {one_of(["0", "1", "a", "ok", "[]", "{}", "<<>>", "\"ab\"", "1.5"]), []} end,
      fn -> nested(depth, 2, fn [a, b] -> "{#{a}, #{b}}" end) end,
      fn -> nested(depth, 1, fn [a] -> "{ok, #{a}}" end) end,
      fn -> nested(depth, 2, fn [a, b] -> "[#{a} | #{b}]" end) end,
      fn -> nested(depth, 2, fn [a, b] -> "[#{a}, #{b}]" end) end,
      fn -> nested(depth, 1, fn [a] -> "\#{a := #{a}}" end) end,
      fn -> nested(depth, 1, fn [a] -> "#r{a = #{a}}" end) end,
      fn ->
        {tail, vars} = variable()
        {"\"a\" ++ #{tail}", vars}
      end,
      fn ->
        {name, vars} = variable()
        {inner, more} = pattern(depth - 1)
        {"(#{name} = #{inner})", vars ++ more}
      end,
      fn ->
        {byte, rest} = {fresh("B"), fresh("T")}

        {one_of(["<<#{byte}, #{rest}/binary>>", "<<#{byte}:4, #{rest}/bitstring>>"]),
         [{byte, :int}, {rest, :any}]}
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
      2 -> [" when ", guard(ctx), one_of([", ", "; ", " andalso ", " orelse "]), guard(ctx)]
      _ -> ""
    end
  end

  defp guard(ctx) do
    var = var(ctx)

    one_of([
      "is_integer(#{var})",
      "#{var} > 2",
      "#{var} =/= a",
      "is_list(#{var})",
      "(is_tuple(#{var}) orelse is_atom(#{var}))",
      "element(1, #{var}) =:= ok",
      "length(#{var}) > 1",
      "is_record(#{var}, r)",
      "not is_binary(#{var})",
      "#{var} rem 2 =:= 0",
      "true"
    ])
  end

  # -- Bodies ---------------------------------------------------------------------------------------------------------------

  defp body(ctx, depth) do
    {statements, ctx} =
      Enum.map_reduce(List.duplicate(:statement, integer(0..2)), ctx, fn _, ctx ->
        statement(ctx, depth - 1)
      end)

    [Enum.map(statements, &[&1, ",\n    "]), last(ctx, depth)]
  end

  defp statement(ctx, depth) do
    case integer(1..9) do
      # handed on by a tail call, perhaps
      9 ->
        name = fresh("V")
        made = one_of(["make_ref()", "monitor(process, self())", ["monitor(process, ", var(ctx), ")"]])
        {[name, " = ", made], %{ctx | vars: [{name, :any}, {name, :any}, {name, :any} | ctx.vars]}}

      1 ->
        name = fresh("V")
        {["#{name} = ", int(ctx, depth)], %{ctx | vars: [{name, :int} | ctx.vars]}}

      2 ->
        {["put(#{one_of(["k1", "k2"])}, ", value(ctx, depth), ")"], ctx}

      3 ->
        {["'Elixir.ElixirScope.Test.Stage':listener() ! ", value(ctx, depth)], ctx}

      4 ->
        case integer(1..4) do
          1 ->
            {pattern, vars} = pattern(1)
            {["#{pattern} = ", value(ctx, depth)], %{ctx | vars: vars ++ ctx.vars}}

          2 ->
            name = fresh("V")
            {["{ok, #{name}} = {ok, ", value(ctx, depth), "}"], %{ctx | vars: [{name, :any} | ctx.vars]}}

          _ ->
            {[boolean(ctx), " andalso put(k3, ", value(ctx, depth), ")"], ctx}
        end

      5 ->
        {["self() ! {m, ", value(ctx, depth), "}"], ctx}

      6 ->
        {last(ctx, depth), ctx}

      _ ->
        name = fresh("V")
        {["#{name} = ", value(ctx, depth)], %{ctx | vars: [{name, :any} | ctx.vars]}}
    end
  end

  # What may stand last: whatever keeps a tail call a tail call, and what does not.
  defp last(ctx, depth) when depth <= 0, do: one_of([&call/1, &call/1, &value(&1, 0)]).(ctx)

  defp last(ctx, depth) do
    one_of([
      fn -> call(ctx) end,
      fn -> call(ctx) end,
      fn -> call(ctx) end,
      fn -> value(ctx, depth) end,
      fn -> value(ctx, depth) end,
      fn -> case_of(ctx, depth, &body/2) end,
      fn -> case_of(ctx, depth, &body/2) end,
      fn -> if_of(ctx, depth, &body/2) end,
      fn -> receive_of(ctx, depth, &body/2) end,
      fn -> try_of(ctx, depth, &body/2) end,
      fn -> try_of(ctx, depth, &body/2) end,
      fn -> ["begin\n    ", body(ctx, depth - 1), "\n    end"] end,
      fn -> [boolean(ctx), one_of([" andalso\n    ", " orelse\n    "]), paren(last(ctx, depth - 1))] end,
      fn -> maybe_of(ctx, depth, &body/2) end,
      fn -> if integer(1..2) == 1, do: raising(ctx, depth), else: call(ctx) end
    ]).()
  end

  # -- Values ---------------------------------------------------------------------------------------------------------------

  defp value(ctx, depth) when depth <= 0,
    do: one_of([fn -> var(ctx) end, fn -> literal() end, fn -> int(ctx, 0) end]).()

  defp value(ctx, depth) do
    less = fn -> value(ctx, depth - 1) end

    one_of([
      fn -> var(ctx) end,
      fn -> literal() end,
      fn -> int(ctx, depth) end,
      fn -> call(ctx) end,
      fn -> call(ctx) end,
      fn -> ["{", less.(), ", ", less.(), "}"] end,
      fn -> ["[", less.(), ", ", less.(), " | ", list(ctx, depth - 1), "]"] end,
      fn -> ["\#{a => ", less.(), ", b => ", less.(), "}"] end,
      fn -> [one_of([paren(less.()), "\#{a => 2}"]), "\#{a := ", less.(), "}"] end,
      fn -> ["#r{a = ", less.(), "}"] end,
      fn -> [one_of([paren(less.()), "#r{b = 3}"]), "#r.a"] end,
      fn -> ["<<(", int(ctx, depth - 1), "):8, ", one_of(["\"xyz\"", "7:3"]), ">>"] end,
      fn -> ["<<(", binary(ctx, depth - 1), ")/binary, 1>>"] end,
      fn -> ["(catch ", less.(), ")"] end,
      fn -> comprehension(ctx, depth) end,
      fn -> comprehension(ctx, depth) end,
      fn -> fun(ctx, depth) end,
      fn -> ["(", fun(ctx, depth), ")(", less.(), ")"] end,
      fn -> if integer(1..2) == 1, do: builtin(ctx, depth), else: var(ctx) end,
      fn -> paren(case_of(ctx, depth, &body/2)) end,
      fn -> paren(try_of(ctx, depth, &body/2)) end,
      fn -> paren(receive_of(ctx, depth, &body/2)) end,
      fn -> paren([boolean(ctx), " andalso ", paren(less.())]) end,
      fn -> spawned(ctx, depth) end,
      fn -> "get(#{one_of(["k1", "k2"])})" end,
      fn -> ["lists:map(", choosy_fun(ctx, depth), ", ", list(ctx, depth - 1), ")"] end,
      fn -> ["'Elixir.ElixirScope.Test.Stage':call(", choosy_fun(ctx, depth), ", ", less.(), ")"] end
    ]).()
  end

  defp paren(text), do: ["(", text, ")"]

  defp literal,
    do:
      one_of([
        "0",
        "1",
        "7",
        "a",
        "ok",
        "[]",
        "{ok, 1}",
        "[1, 2, 3]",
        "<<\"abc\">>",
        "\"ab\"",
        "2.5",
        "\#{a => 1}"
      ])

  defp int(ctx, depth) when depth <= 0 do
    case for({name, :int} <- ctx.vars, do: name) do
      [] -> "#{integer(0..9)}"
      names -> one_of(["#{integer(0..9)}" | names])
    end
  end

  defp int(ctx, depth) do
    one_of([
      fn -> int(ctx, 0) end,
      fn ->
        paren([int(ctx, depth - 1), one_of([" + ", " * ", " - ", " div ", " rem "]), int(ctx, depth - 1)])
      end,
      fn -> ["'Elixir.ElixirScope.Test.Stage':int(", value(ctx, depth - 1), ")"] end,
      fn -> paren([one_of([value(ctx, depth - 1), int(ctx, depth - 1)]), " + 1"]) end
    ]).()
  end

  defp list(ctx, depth) do
    one_of([
      fn -> "[1, 2, 3]" end,
      fn -> ["[", value(ctx, depth), "]"] end,
      fn -> "lists:seq(1, 3)" end,
      fn -> one_of(["[]" | for({name, :any} <- ctx.vars, do: name)]) end
    ]).()
  end

  defp binary(ctx, depth) do
    one_of([fn -> "<<\"xyz\">>" end, fn -> var(ctx) end, fn -> ["<<(", int(ctx, depth), ")>>"] end]).()
  end

  defp boolean(ctx) do
    var = var(ctx)
    paren(one_of(["is_integer(#{var})", "#{var} > 3", "#{var}", "is_list(#{var})", "true", "#{var} =:= a"]))
  end

  defp var(%{vars: []}), do: literal()
  defp var(%{vars: vars}), do: vars |> one_of() |> elem(0)

  # -- Calls ----------------------------------------------------------------------------------------------------------------

  # One that ends: with less fuel, where there is any.
  defp call(%{fuel: nil} = ctx), do: var(ctx)

  defp call(ctx) do
    {name, arity} = one_of(ctx.functions)
    args = [[ctx.fuel, " - 1"] | for(_ <- 2..arity//1, do: value(ctx, integer(0..1)))]
    list = ["[", Enum.intersperse(args, ", "), "]"]
    args = Enum.intersperse(args, ", ")
    # mostly not below zero
    call =
      one_of([
        fn -> [name, "(", args, ")"] end,
        fn -> [name, "(", args, ")"] end,
        fn -> [name, "(", args, ")"] end,
        fn -> ["?MODULE:", name, "(", args, ")"] end,
        fn -> ["('Elixir.ElixirScope.Test.Stage':this(?MODULE)):", name, "(", args, ")"] end,
        fn -> ["apply(?MODULE, #{name}, ", list, ")"] end,
        fn -> ["apply(fun #{name}/#{arity}, ", list, ")"] end,
        fn -> ["(fun #{name}/#{arity})(", args, ")"] end,
        fn -> ["(fun ?MODULE:#{name}/#{arity})(", args, ")"] end,
        fn -> ["'Elixir.ElixirScope.Test.Stage':apply(fun #{name}/#{arity}, ", list, ")"] end
      ]).()

    call
  end

  defp builtin(ctx, depth) do
    v = fn -> value(ctx, depth - 1) end

    one_of([
      fn -> ["hd(", v.(), ")"] end,
      fn -> ["element(1, ", v.(), ")"] end,
      fn -> ["length(", v.(), ")"] end,
      fn -> ["list_to_integer(", v.(), ")"] end,
      fn -> ["atom_to_list(", v.(), ")"] end,
      fn -> ["lists:reverse(", v.(), ")"] end,
      fn -> ["lists:member(", v.(), ", ", v.(), ")"] end,
      fn -> ["lists:keyfind(ok, 1, ", v.(), ")"] end,
      fn -> ["lists:nth(2, ", v.(), ")"] end,
      fn -> ["lists:sum(", v.(), ")"] end,
      fn -> ["maps:get(a, ", var(ctx), ")"] end,
      fn -> ["map_get(a, ", var(ctx), ")"] end,
      fn -> ["maps:map(fun(_, X) -> X + 1 end, ", v.(), ")"] end,
      fn -> ["tuple_to_list(", v.(), ")"] end,
      fn -> ["setelement(1, ", v.(), ", ", v.(), ")"] end,
      fn -> ["binary_to_list(", v.(), ")"] end,
      fn -> ["binary:split(", v.(), ", <<\"b\">>)"] end,
      fn -> ["iolist_to_binary(", v.(), ")"] end,
      fn -> ["ets:lookup(no_such_table, ", v.(), ")"] end,
      fn -> [paren(v.()), " ++ ", paren(v.())] end,
      fn -> [paren(v.()), " -- ", paren(v.())] end,
      fn -> [paren(v.()), " / ", paren(v.())] end,
      fn -> ["no_such_module:f(", v.(), ")"] end,
      fn -> [paren(var(ctx)), ":f(", v.(), ")"] end,
      fn -> ["('Elixir.ElixirScope.Test.Stage':this(", v.(), "))(", v.(), ")"] end,
      fn -> ["apply(", v.(), ", ", v.(), ")"] end,
      fn -> ["apply(?MODULE, ", v.(), ", ", v.(), ")"] end,
      fn -> ["erlang:send(", v.(), ", ", v.(), ")"] end,
      fn -> ["erlang:send('Elixir.ElixirScope.Test.Stage':listener(), ", v.(), ", [noconnect])"] end,
      fn -> [paren(v.()), " ! ", paren(v.())] end
    ]).()
  end

  defp raising(ctx, depth) do
    v = value(ctx, depth - 1)

    one_of([
      ["error(", v, ")"],
      ["throw(", v, ")"],
      ["exit(", v, ")"],
      ["erlang:error(", v, ", [", var(ctx), "])"],
      [
        "erlang:raise(#{one_of(["error", "exit", "throw"])}, ",
        v,
        ", [{m, f, 1, [{file, \"x\"}, {line, 7}]}])"
      ],
      ["1 / (", int(ctx, 0), " * 0)"]
    ])
  end

  # -- Compound forms -------------------------------------------------------------------------------------------------------

  defp clauses(ctx, depth, body, all?) do
    some =
      for _ <- 1..integer(1..3) do
        {pattern, vars} = pattern(2)
        ctx = %{ctx | vars: vars ++ ctx.vars}
        ["      ", pattern, guards(ctx), " ->\n    ", body.(ctx, depth - 1)]
      end

    rest = if all? or integer(1..4) > 1, do: [["      _ ->\n    ", body.(ctx, depth - 1)]], else: []
    Enum.intersperse(some ++ rest, ";\n")
  end

  defp case_of(ctx, depth, body),
    do: [
      "case ",
      one_of([var(ctx), value(ctx, depth - 1)]),
      " of\n",
      clauses(ctx, depth, body, false),
      "\n    end"
    ]

  defp if_of(ctx, depth, body) do
    [
      ["if ", guard(ctx), " ->\n    ", body.(ctx, depth - 1), ";\n"],
      [guard(ctx), " ->\n    ", body.(ctx, depth - 1)],
      if(integer(1..4) > 1, do: [";\n    true ->\n    ", body.(ctx, depth - 1)], else: []),
      "\n    end"
    ]
  end

  # Whatever was sent before, or nothing.
  defp receive_of(ctx, depth, body) do
    name = fresh("V")
    inner = %{ctx | vars: [{name, :any} | ctx.vars]}
    clauses = ["      {m, #{name}}", guards(inner), " ->\n    ", body.(inner, depth - 1)]

    [
      "receive\n",
      clauses,
      "\n    after ",
      one_of(["0", "1", "'Elixir.ElixirScope.Test.Stage':int(0) - 1 + 1"]),
      " ->\n    ",
      body.(ctx, depth - 1),
      "\n    end"
    ]
  end

  defp try_of(ctx, depth, body) do
    of = if integer(1..2) == 1, do: [" of\n", clauses(ctx, depth, body, false)], else: []
    caught = if integer(1..5) == 1, do: [], else: ["\n    catch\n", caught(ctx, depth, body)]

    finally =
      if caught == [] or integer(1..4) == 1,
        do: ["\n    after\n    put(after_, ", value(ctx, depth - 1), ")"],
        else: []

    ["try\n    ", body.(ctx, depth - 1), of, caught, finally, "\n    end"]
  end

  defp caught(ctx, depth, body) do
    one_of([
      fn ->
        [c, r, s] = for name <- ["C", "R", "S"], do: fresh(name)
        put = ["put(stack, #{s}),\n    "]
        ctx = %{ctx | vars: [{c, :any}, {r, :any} | ctx.vars]}
        ["      #{c}:#{r}:#{s} ->\n    ", put, body.(ctx, depth - 1)]
      end,
      fn ->
        name = fresh("R")

        [
          "      #{one_of(["error", "throw", "exit"])}:#{name} ->\n    ",
          body.(%{ctx | vars: [{name, :any} | ctx.vars]}, depth - 1)
        ]
      end,
      fn ->
        [r, s] = for name <- ["R", "S"], do: fresh(name)

        [
          "      error:#{r}:#{s} ->\n    erlang:raise(exit, {again, #{r}}, #{s});\n",
          "      throw:_ ->\n    ",
          body.(ctx, depth - 1)
        ]
      end
    ]).()
  end

  defp maybe_of(ctx, depth, body) do
    {pattern, vars} = pattern(1)
    inner = %{ctx | vars: vars ++ ctx.vars}
    otherwise = if integer(1..2) == 1, do: ["\n    else\n", clauses(ctx, depth, body, false)], else: []

    [
      "maybe\n    ",
      pattern,
      " ?= ",
      value(ctx, depth - 1),
      ",\n    ",
      body.(inner, depth - 1),
      otherwise,
      "\n    end"
    ]
  end

  defp comprehension(ctx, depth) do
    name = fresh("X")
    inner = %{ctx | vars: [{name, :int} | ctx.vars]}
    filter = one_of(["", ", #{name} > 1", ", is_integer(#{name})", ", #{var(inner)} =/= a"])

    one_of([
      fn -> ["[", value(inner, depth - 1), " || ", name, " <- ", list(ctx, depth - 1), filter, "]"] end,
      fn -> ["<< <<(", int(inner, depth - 1), ")>> || ", name, " <- [1, 2, 3]", filter, ">>"] end,
      fn -> ["[", value(inner, depth - 1), " || <<", name, ">> <= ", binary(ctx, depth - 1), filter, "]"] end,
      fn ->
        other = fresh("X")

        [
          "[{",
          name,
          ", ",
          value(inner, depth - 1),
          "} || ",
          name,
          " <- [1, 2], {ok, ",
          other,
          "} <- [",
          value(inner, 0),
          "]]"
        ]
      end
    ]).()
  end

  # Only where another module calls it: what the compiler makes of one that is called where it stands, and takes no such
  # argument, is one of the things that differ.
  defp choosy_fun(ctx, depth) do
    if integer(1..2) == 1 do
      fun(ctx, depth)
    else
      {pattern, vars} = pattern(1)
      ["fun(", pattern, ") ->\n    ", body(%{ctx | vars: vars ++ ctx.vars}, depth - 1), "\n    end"]
    end
  end

  defp fun(ctx, depth) do
    name = fresh("A")
    inner = %{ctx | vars: [{name, :any} | ctx.vars]}

    one_of([
      fn -> ["fun(", name, ") ->\n    ", body(inner, depth - 1), "\n    end"] end,
      fn ->
        self = fresh("F")

        [
          "fun ",
          self,
          "(",
          name,
          ") when is_integer(",
          name,
          "), ",
          name,
          " > 0 -> ",
          self,
          "(",
          name,
          " div 2);\n",
          "      ",
          self,
          "(",
          name,
          ") -> ",
          value(inner, depth - 1),
          "\n    end"
        ]
      end
    ]).()
  end

  defp spawned(ctx, depth) do
    [p, r, w] = for name <- ["P", "M", "W"], do: fresh(name)

    [
      "begin {#{p}, #{r}} = spawn_monitor(fun() ->\n    ",
      body(%{ctx | fuel: nil}, depth - 1),
      "\n    end),\n    receive {'DOWN', #{r}, process, #{p}, #{w}} -> #{w} end end"
    ]
  end

  defp fresh(letter) do
    number = Process.get(:fresh) + 1
    Process.put(:fresh, number)
    "#{letter}#{number}"
  end
end
