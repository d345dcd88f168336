defmodule ElixirScope.Instrument.Transform.Tail do
  @moduledoc false

  # Which expressions of a body are its last ones, and which of these the emulator runs as tail calls.
  #
  # The language keeps a call in tail position through `case`, `if`, `receive`, `maybe`, blocks, the right side of `andalso` and
  # `orelse`, and the `of` and `catch` clauses of a `try` without `after`. It keeps none in the protected part of a `try`.

  alias ElixirScope.Instrument.Form

  @typedoc "What is known of the module: the functions that it defines, and those that it imports."
  @type scope :: %{
          :functions => MapSet.t({atom, arity}),
          :imports => %{{atom, arity} => module},
          optional(atom) => term
        }

  @typedoc """
  Rewrites one last expression: a tail call, one that only gives a value, or, of these, a comprehension; or the call of a
  branch, whose own last expressions are rewritten already, one of several or the only one.
  """
  @type rewrite(acc) :: (:call | :value | :comprehension | :branch | :once, tuple, acc -> {tuple, acc})

  # They call what they are given, and are no frame of the stack meanwhile.
  @calling [apply: 2, apply: 3, hibernate: 3]

  @doc "Rewrites each last expression of a body. All become what `rewrite` gives, so that it can wrap values and calls."
  @spec map([tuple], scope, acc, rewrite(acc)) :: {[tuple], acc} when acc: term
  def map(body, scope, acc, rewrite) do
    # Variables that are made here are numbered: the compiler's check of scopes wants no name that two branches bind.
    numbered = fn kind, form, {acc, count} ->
      {form, acc} = rewrite.(kind, form, acc)
      {form, {acc, count}}
    end

    {body, {acc, _count}} = body(body, scope, {acc, Map.get(scope, :numbered, 0)}, numbered)
    {body, acc}
  end

  defp body([last], scope, acc, rewrite) do
    {last, acc} = last(last, scope, acc, rewrite)
    {[last], acc}
  end

  defp body([form | rest], scope, acc, rewrite) do
    case branch(form, rest, scope) do
      nil ->
        {rest, acc} = body(rest, scope, acc, rewrite)
        {[form | rest], acc}

      {name, kind, fun_anno, clauses} ->
        {:match, anno, variable, _fun} = form
        {clauses, acc} = clauses(clauses, scope, acc, rewrite)
        scope = Map.update(scope, :branches, %{name => kind}, &Map.put(&1, name, kind))
        {rest, acc} = body(rest, scope, acc, rewrite)
        {[{:match, anno, variable, {:fun, fun_anno, {:clauses, clauses}}} | rest], acc}
    end
  end

  # A fun that is only called in tail position is a branch of the body that several places share: Elixir 1.18 makes one of the
  # `else` of a `with`. Its last expressions are last ones of the body.
  defp branch({:match, _, {:var, _, name}, {:fun, anno, {:clauses, clauses}}}, rest, scope) do
    [{:clause, _, patterns, _, _} | _] = clauses
    heads = for {:clause, _, patterns, _, _} <- clauses, do: patterns
    tail? = &match?({:call, _, {:var, _, ^name}, args} when length(args) == length(patterns), &1)

    count = fn
      :call, call, count -> {call, count + if(tail?.(call), do: 1, else: 0)}
      _kind, form, count -> {form, count}
    end

    # a name that the fun binds anew is another variable
    if MapSet.disjoint?(Form.variables(heads), Map.get(scope, :outer, MapSet.new())) and
         mentions(rest, name) > 0 do
      {_rest, {count, _number}} = body(rest, scope, {0, 0}, &counted(&1, &2, &3, count))

      if count == mentions(rest, name),
        do: {name, if(Enum.any?(rest, tail?), do: :once, else: :branch), anno, clauses}
    end
  end

  defp branch(_form, _rest, _scope), do: nil

  defp counted(kind, form, {acc, number}, count) do
    {form, acc} = count.(kind, form, acc)
    {form, {acc, number}}
  end

  defp mentions({:var, _, name}, name), do: 1
  defp mentions(form, name) when is_tuple(form), do: form |> Tuple.to_list() |> mentions(name)
  defp mentions([head | tail], name), do: mentions(head, name) + mentions(tail, name)
  defp mentions(_other, _name), do: 0

  defp last({:case, anno, value, clauses}, scope, acc, rewrite) do
    {clauses, acc} = clauses(clauses, scope, acc, rewrite)
    {{:case, anno, value, clauses}, acc}
  end

  defp last({:if, anno, clauses}, scope, acc, rewrite) do
    {clauses, acc} = clauses(clauses, scope, acc, rewrite)
    {{:if, anno, clauses}, acc}
  end

  defp last({:receive, anno, clauses}, scope, acc, rewrite) do
    {clauses, acc} = clauses(clauses, scope, acc, rewrite)
    {{:receive, anno, clauses}, acc}
  end

  defp last({:receive, anno, clauses, timeout, otherwise}, scope, acc, rewrite) do
    {clauses, acc} = clauses(clauses, scope, acc, rewrite)
    {otherwise, acc} = body(otherwise, scope, acc, rewrite)
    {{:receive, anno, clauses, timeout, otherwise}, acc}
  end

  defp last({:block, anno, body}, scope, acc, rewrite) do
    {body, acc} = body(body, scope, acc, rewrite)
    {{:block, anno, body}, acc}
  end

  # A value that matches no `of` clause raises; one that there is no `of` for is the result.
  defp last({:try, anno, body, [], caught, []}, scope, acc, rewrite) do
    {value, acc} = result(anno, acc)
    {wrapped, acc} = rewrite.(:value, value, acc)
    {caught, acc} = clauses(caught, scope, acc, rewrite)
    of = if wrapped == value, do: [], else: [{:clause, anno, [value], [], [wrapped]}]
    {{:try, anno, body, of, caught, []}, acc}
  end

  defp last({:try, anno, body, of, caught, []}, scope, acc, rewrite) do
    {of, acc} = clauses(of, scope, acc, rewrite)
    {caught, acc} = clauses(caught, scope, acc, rewrite)
    {{:try, anno, body, of, caught, []}, acc}
  end

  # What did not match is the result, as it is.
  defp last({:maybe, anno, body}, scope, acc, rewrite) do
    {value, acc} = result(anno, acc)
    {wrapped, acc} = rewrite.(:value, value, acc)
    {body, acc} = body(body, scope, acc, rewrite)

    if wrapped == value do
      {{:maybe, anno, body}, acc}
    else
      otherwise = {:else, anno, [{:clause, anno, [value], [], [wrapped]}]}
      {{:maybe, anno, body, otherwise}, acc}
    end
  end

  defp last({:maybe, anno, body, {:else, else_anno, clauses}}, scope, acc, rewrite) do
    {body, acc} = body(body, scope, acc, rewrite)
    {clauses, acc} = clauses(clauses, scope, acc, rewrite)
    {{:maybe, anno, body, {:else, else_anno, clauses}}, acc}
  end

  # The compiler makes the body of such a fun a part of the function, if nothing has to be done for its arguments first. A
  # variable of the fun's head hides one of the function with the same name, which then must not be taken for it.
  defp last({:call, anno, {:fun, fun_anno, {:clauses, clauses}}, args} = call, scope, acc, rewrite) do
    heads = for {:clause, _, patterns, _, _} <- clauses, do: patterns

    if Enum.all?(args, &at_hand?/1) and Enum.all?(heads, &(length(&1) == length(args))) and
         MapSet.disjoint?(Form.variables(heads), Map.get(scope, :outer, MapSet.new())) do
      {clauses, acc} = clauses(clauses, scope, acc, rewrite)
      {{:call, anno, {:fun, fun_anno, {:clauses, clauses}}, args}, acc}
    else
      rewrite.(:call, call, acc)
    end
  end

  # `a andalso f()`: false, or whatever the call gives; any other `a` raises as before.
  defp last({:op, anno, op, left, right} = whole, scope, acc, rewrite) when op in [:andalso, :orelse] do
    case last(right, scope, acc, rewrite) do
      {^right, acc} ->
        rewrite.(:value, whole, acc)

      {rewritten, acc} ->
        short = {:atom, anno, op == :orelse}
        {short_wrapped, acc} = rewrite.(:value, short, acc)
        {value, acc} = result(anno, acc)

        {{:case, anno, {:op, anno, op, left, rewritten},
          [
            {:clause, anno, [short], [], [short_wrapped]},
            {:clause, anno, [value], [], [value]}
          ]}, acc}
    end
  end

  defp last({:call, _anno, {:var, _, name}, _args} = call, %{branches: branches}, acc, rewrite) do
    rewrite.(Map.get(branches, name, :call), call, acc)
  end

  defp last({:call, _anno, _target, _args} = call, scope, acc, rewrite) do
    rewrite.(if(tail_call?(call, scope), do: :call, else: :value), call, acc)
  end

  defp last(form, _scope, acc, rewrite) when elem(form, 0) in [:lc, :bc, :mc],
    do: rewrite.(:comprehension, form, acc)

  defp last(value, _scope, acc, rewrite), do: rewrite.(:value, value, acc)

  defp clauses(clauses, scope, acc, rewrite) do
    Enum.map_reduce(clauses, acc, fn {:clause, anno, patterns, guards, body}, acc ->
      {body, acc} = body(body, scope, acc, rewrite)
      {{:clause, anno, patterns, guards, body}, acc}
    end)
  end

  # What makes a reference that a `receive` may wait for.
  @references [make_ref: 0, alias: 0, alias: 1, monitor: 2, monitor: 3]

  @doc """
  A body taken apart where it makes a reference that one of its tail calls of a function of the module takes: what stands
  before, the match of a variable, what stands behind. `nil` where there is none.
  """
  @spec reference([tuple], scope) :: {[tuple], tuple, [tuple]} | nil
  def reference(body, scope), do: reference(body, [], scope)

  defp reference([form, next | rest], before, scope) do
    if makes_reference?(form, scope) and handed_on?(form, [next | rest], scope),
      do: {Enum.reverse(before), form, [next | rest]},
      else: reference([next | rest], [form | before], scope)
  end

  defp reference(_last, _before, _scope), do: nil

  defp handed_on?({:match, _, {:var, _, name}, _}, rest, scope) do
    {_body, handed_on?} = map(rest, scope, false, &{&2, &3 or takes?(&1, &2, name)})
    handed_on?
  end

  defp makes_reference?({:match, _, {:var, _, name}, {:call, _, target, args}}, scope) when name != :_ do
    case target do
      {:remote, _, {:atom, _, :erlang}, {:atom, _, function}} ->
        {function, length(args)} in @references

      {:atom, _, function} ->
        {function, length(args)} in @references and
          not MapSet.member?(scope.functions, {function, length(args)})

      _other ->
        false
    end
  end

  defp makes_reference?(_form, _scope), do: false

  defp takes?(:call, {:call, _, {:atom, _, _local}, args}, name),
    do: Enum.any?(args, &match?({:var, _, ^name}, &1))

  defp takes?(_kind, _form, _name), do: false

  defp at_hand?({:tuple, _anno, elements}), do: Enum.all?(elements, &at_hand?/1)
  defp at_hand?({:cons, _anno, head, tail}), do: at_hand?(head) and at_hand?(tail)
  defp at_hand?({kind, _anno, _value}), do: kind in [:var, :atom, :integer, :char, :float, :string]
  defp at_hand?(form), do: match?({nil, _anno}, form)

  defp result(anno, {acc, count}), do: {{:var, anno, :"scope@result#{count}"}, {acc, count + 1}}

  @doc "Whether the emulator runs a call that stands last as a tail call."
  @spec tail_call?(tuple, scope) :: boolean
  # Functions of the emulator that are written in C leave the caller's frame on the stack, so that keeping it changes
  # nothing, and their errors are seen (tried on OTP 25: the stack trace of `f(X) -> list_to_binary(X)` has `f/1` in it).
  def tail_call?({:call, _, {:remote, _, {:atom, _, module}, {:atom, _, name}}, args}, _scope),
    do: calls?(module, name, length(args))

  def tail_call?({:call, _, {:atom, _, name}, args}, scope) do
    arity = length(args)

    cond do
      MapSet.member?(scope.functions, {name, arity}) -> true
      module = scope.imports[{name, arity}] -> calls?(module, name, arity)
      name == :record_info -> false
      true -> calls?(:erlang, name, arity)
    end
  end

  def tail_call?(_dynamic, _scope), do: true

  defp calls?(:erlang, name, arity) when {name, arity} in @calling, do: true
  defp calls?(module, name, arity), do: not :erlang.is_builtin(module, name, arity)
end
