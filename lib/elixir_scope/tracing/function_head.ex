defmodule ElixirScope.Tracing.FunctionHead do
  @moduledoc false

  # The head of an Elixir function as a match spec: what `ElixirScope.match/1` makes. A match spec knows less than a pattern, and what it
  # does not know is an error when the code is compiled, with a caret under it.

  # name in Elixir => name in a match spec; those of one name are in neither
  @renamed %{
    !=: :"/=",
    <=: :"=<",
    ===: :"=:=",
    !==: :"=/=",
    tuple_size: :size,
    byte_size: :size,
    &&&: :band,
    |||: :bor,
    <<<: :bsl,
    >>>: :bsr
  }

  @known ~w(is_atom is_float is_integer is_list is_number is_pid is_port is_reference is_tuple is_map is_binary
    abs hd tl length map_size map_get is_map_key bit_size binary_part size element node self round trunc float
    + - * / div rem band bor bxor bnot bsl bsr and or not xor andalso orelse == /= =:= =/= < > =< >= is_function)a

  @special ~r/\A(_|\$\d+|\$_|\$\$)\z/

  @doc "The code of `{:match, {module, function, arity}, match_spec}`."
  @spec to_match_spec(Macro.t(), Macro.Env.t()) :: Macro.t()
  def to_match_spec(head, env) do
    whole = head

    try do
      {call, guard} = split(head)
      {module, function, args} = call(call, env)
      {patterns, state} = Enum.map_reduce(args, new(env), &pattern/2)
      guards = if guard == nil, do: [], else: [guard(guard, state)]
      spec = [{:{}, [], [patterns, Enum.reverse(state.pinned) ++ guards, []]}]
      mfa = {:{}, [], [module, function, length(args)]}
      {:{}, [], [:match, mfa, spec]}
    catch
      {:wrong, part, why} ->
        raise CompileError,
          file: env.file,
          line: line(part) || line(whole) || env.line,
          description: description(whole, part, why)
    end
  end

  defp new(env), do: %{env: env, variables: %{}, pinned: []}

  defp split({:when, _meta, [call, guard]}), do: {call, guard}
  defp split(call), do: {call, nil}

  defp call({{:., _dot, [module, function]}, _meta, args} = call, env) when is_atom(function) do
    case Macro.expand(module, env) do
      module when is_atom(module) -> {module, function, args}
      _other -> wrong(call, "the module has to be known when this is compiled")
    end
  end

  defp call(other, _env),
    do: wrong(other, "expected the head of a function with its module, as in Mod.fun(pattern)")

  # Marks what is in the match spec as it is.
  @literal :elixir_scope_literal

  # -- Patterns ---------------------------------------------------------------------------------------------------------

  defp pattern({@literal, _meta, [name]}, state), do: {name, state}

  defp pattern({:^, _meta, [value]}, state) do
    {name, state} = fresh(state)
    same = {:{}, [], [:"=:=", name, {:const, value}]}
    {name, %{state | pinned: [same | state.pinned]}}
  end

  defp pattern({name, _meta, context} = variable, state) when is_atom(name) and is_atom(context) do
    case {Atom.to_string(name), state.variables} do
      {"_" <> _unused, _variables} -> {:_, state}
      {_name, %{^name => known}} -> {known, state}
      _new -> bind(variable, state)
    end
  end

  defp pattern({:=, _meta, [one, other]} = both, state) do
    cond do
      nobody?(one) -> pattern(other, state)
      nobody?(other) -> pattern(one, state)
      true -> wrong(both, "a match spec has no name for what it takes apart")
    end
  end

  defp pattern({:{}, _meta, elements}, state) do
    {elements, state} = Enum.map_reduce(elements, state, &pattern/2)
    {{:{}, [], elements}, state}
  end

  defp pattern({one, two}, state) do
    {one, state} = pattern(one, state)
    {two, state} = pattern(two, state)
    {{one, two}, state}
  end

  defp pattern(list, state) when is_list(list), do: list(list, state)

  defp pattern({:%{}, _meta, pairs}, state) do
    {pairs, state} =
      Enum.map_reduce(pairs, state, fn
        {key, value}, state ->
          {value, state} = pattern(value, state)
          {{key(key, state), value}, state}

        other, _state ->
          wrong(other, "expected keys and values")
      end)

    {{:%{}, [], pairs}, state}
  end

  defp pattern({:%, _meta, [struct, {:%{}, _map_meta, pairs}]} = whole, state) do
    name =
      case struct do
        {:_, _meta, context} when is_atom(context) -> :_
        _other -> Macro.expand(struct, state.env)
      end

    if is_atom(name),
      do: pattern({:%{}, [], [{:__struct__, {@literal, [], [name]}} | pairs]}, state),
      else: wrong(whole, "the struct has to be known when this is compiled")
  end

  defp pattern({:<<>>, _meta, _parts} = binary, _state), do: no_binary(binary)
  defp pattern({:<>, _meta, _parts} = binary, _state), do: no_binary(binary)

  defp pattern({sign, _meta, [number]}, state) when sign in [:-, :+] and is_number(number),
    do: {if(sign == :-, do: -number, else: number), state}

  defp pattern(atom, state) when is_atom(atom) do
    if special?(atom), do: wrong(atom, "this atom means something else in a match spec"), else: {atom, state}
  end

  defp pattern(literal, state) when is_number(literal) or is_binary(literal), do: {literal, state}

  defp pattern(other, state) do
    case Macro.expand(other, %{state.env | context: :match}) do
      ^other -> wrong(other, "this is no pattern that a match spec has")
      expanded -> within(other, fn -> pattern(expanded, state) end)
    end
  end

  defp list([], state), do: {[], state}

  defp list([{:|, _meta, [head, tail]}], state) do
    {head, state} = pattern(head, state)
    {tail, state} = pattern(tail, state)
    {[{:|, [], [head, tail]}], state}
  end

  defp list([head | tail], state) do
    {head, state} = pattern(head, state)
    {tail, state} = list(tail, state)
    {[head | tail], state}
  end

  defp key(key, _state) when is_number(key) or is_binary(key), do: key
  defp key(key, _state) when is_atom(key), do: key

  defp key(key, state) do
    case Macro.expand(key, state.env) do
      atom when is_atom(atom) -> atom
      _other -> wrong(key, "a key has to be an atom, a number or a string")
    end
  end

  defp bind({name, _meta, _context}, state) do
    {number, state} = fresh(state)
    {number, put_in(state.variables[name], number)}
  end

  defp fresh(state) do
    number = map_size(state.variables) + length(state.pinned) + 1
    {:"$#{number}", state}
  end

  defp nobody?({name, _meta, context}) when is_atom(name) and is_atom(context),
    do: String.starts_with?(Atom.to_string(name), "_")

  defp nobody?(_other), do: false

  @spec no_binary(Macro.t()) :: no_return
  defp no_binary(part), do: wrong(part, "a match spec cannot take a binary apart")

  # -- Guards -----------------------------------------------------------------------------------------------------------

  defp guard({:when, _meta, [one, other]}, state), do: op(:orelse, [guard(one, state), guard(other, state)])
  defp guard({:^, _meta, [value]}, _state), do: {:const, value}

  defp guard({name, _meta, context} = variable, state) when is_atom(name) and is_atom(context) do
    case state.variables do
      %{^name => number} -> number
      _unknown -> wrong(variable, "the pattern has no such variable; one from outside is pinned by ^")
    end
  end

  defp guard({:{}, _meta, elements}, state), do: {:{}, [], [{:{}, [], Enum.map(elements, &guard(&1, state))}]}
  defp guard({one, other}, state), do: guard({:{}, [], [one, other]}, state)
  defp guard(list, state) when is_list(list), do: Enum.map(list, &guard(&1, state))

  defp guard(atom, _state) when is_atom(atom), do: if(special?(atom), do: {:const, atom}, else: atom)
  defp guard(literal, _state) when is_number(literal) or is_binary(literal), do: literal

  defp guard({{:., _dot, [map, field]}, meta, []} = part, state) do
    if meta[:no_parens] && not match?({:__aliases__, _meta, _parts}, map),
      do: op(:map_get, [field, guard(map, state)]),
      else: expand(part, state)
  end

  defp guard({{:., _dot, [:erlang, function]}, _meta, args} = part, state),
    do: known(function, args, part, state)

  defp guard({function, _meta, args} = part, state) when is_atom(function) and is_list(args) do
    case {function, args} do
      {:elem, [tuple, index]} when is_integer(index) -> op(:element, [index + 1, guard(tuple, state)])
      {:elem, [tuple, index]} -> op(:element, [op(:+, [guard(index, state), 1]), guard(tuple, state)])
      {:-, [number]} when is_number(number) -> -number
      {:is_boolean, [term]} -> boolean(guard(term, state))
      _other -> expand(part, state)
    end
  end

  defp guard({{:., _dot, _function}, _meta, _args} = part, state), do: expand(part, state)
  defp guard(other, _state), do: wrong(other, "this is no guard that a match spec has")

  defp expand(part, state) do
    case Macro.expand(part, %{state.env | context: :guard}) do
      ^part -> last(part, state)
      expanded -> within(part, fn -> guard(expanded, state) end)
    end
  end

  # Functions of Kernel that are guards, and those of Bitwise.
  defp last({{:., _dot, [module, function]}, _meta, args} = part, state) do
    if Macro.expand(module, state.env) in [Kernel, Bitwise],
      do: known(function, turned(function, args), part, state),
      else: known(nil, args, part, state)
  end

  defp last({function, _meta, args} = part, state), do: known(function, turned(function, args), part, state)

  # The arguments stand the other way round in Erlang.
  defp turned(:is_map_key, [map, key]), do: [key, map]
  defp turned(_function, args), do: args

  defp known(function, args, part, state) do
    name = Map.get(@renamed, function, function)

    cond do
      name not in @known ->
        wrong(part, "this is no guard that a match spec has")

      name == :is_function and length(args) != 1 ->
        wrong(part, "a match spec cannot ask for the arity of a function")

      true ->
        op(name, Enum.map(args, &guard(&1, state)))
    end
  end

  defp boolean(term), do: op(:orelse, [op(:"=:=", [term, true]), op(:"=:=", [term, false])])

  defp op(name, args), do: {:{}, [], [name | args]}

  # -- Errors -----------------------------------------------------------------------------------------------------------

  defp special?(atom), do: Regex.match?(@special, Atom.to_string(atom))

  @spec wrong(Macro.t(), String.t()) :: no_return
  defp wrong(part, why), do: throw({:wrong, part, why})

  # What a macro made is not in the source: the macro is.
  defp within(part, fun) do
    fun.()
  catch
    {:wrong, _inside, why} -> wrong(part, why)
  end

  defp line({_form, meta, _args}) when is_list(meta), do: meta[:line]
  defp line(_literal), do: nil

  @marker :elixir_scope_marker

  # The head as it is written, and below it a caret under its part.
  defp description(whole, part, why) do
    text = text(whole)
    [before | _rest] = whole |> mark(part) |> text() |> String.split(Atom.to_string(@marker), parts: 2)
    last = before |> String.split("\n") |> List.last()
    {above, below} = text |> String.split("\n") |> Enum.split(length(String.split(before, "\n")))
    caret = String.duplicate(" ", String.length(last)) <> "^"
    Enum.join([why, "" | Enum.map(above ++ [caret] ++ below, &("    " <> &1))], "\n")
  end

  defp text(quoted),
    do: quoted |> Code.quoted_to_algebra() |> Inspect.Algebra.format(:infinity) |> IO.iodata_to_binary()

  # Only the first of equal parts.
  defp mark(whole, part) do
    {marked, _done} =
      Macro.prewalk(whole, false, fn
        ^part, false -> {{@marker, [], nil}, true}
        other, done -> {other, done}
      end)

    marked
  end
end
