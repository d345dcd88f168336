defmodule ElixirScope.Instrument.Transform.Body do
  @moduledoc false

  # The body of a clause: protected, so that what is raised in it is seen, with its values and tail calls handed out of it.
  # See `Transform` for how the whole looks.

  alias ElixirScope.Instrument.{Form, Runtime}
  alias ElixirScope.Instrument.Transform.{Effects, Ends, Quiet, Tail}

  @typedoc """
  Of the clause: its `site` as a form, and how that of a tail call is made; the names that are bound before the body; what is
  known of a callback whose state is recorded; the variables of the arguments; and the `scope` of the function.
  """
  @type context :: %{
          scope: map,
          site: tuple,
          tail_site: (mfa -> tuple),
          outer: MapSet.t(atom),
          callback: map | nil,
          args: [{atom, atom | nil}]
        }

  @doc "A body that records how it ends."
  @spec record(:erl_anno.anno(), [tuple], context) :: [tuple]
  def record(anno, body, context) do
    if context.callback == nil and Quiet.body?(body, context.outer, context.scope),
      do: unprotected(body, context),
      else: [protect(anno, body, context)]
  end

  defp unprotected(body, context) do
    scope = Map.put(context.scope, :outer, context.outer)

    {body, _count} =
      Tail.map(body, scope, 0, fn
        :value, value, count ->
          {Ends.exit_with(elem(value, 1), value, context), count}

        :call, {:call, anno, _target, _args} = call, count ->
          {bound, call} = bind_state(call, count, context)

          left =
            Form.call(anno, Runtime, Ends.leave_for(call), [Ends.tail_site(call, context), Ends.token(anno)])

          {{:block, anno, bound ++ Ends.go_on(anno, call, context) ++ [left, call]}, count + 1}
      end)

    effects_of(body, context.scope, 0)
  end

  # The state with which a loop goes on, evaluated once.
  defp bind_state({:call, anno, target, args} = call, count, context) do
    with {index, state} <- Ends.loop_arg(call, context),
         false <- Effects.simple?(state) do
      variable = Form.var(anno, :"scope@state#{count}")
      {[Form.match(anno, variable, state)], {:call, anno, target, List.replace_at(args, index, variable)}}
    else
      _as_it_is -> {[], call}
    end
  end

  # The compiler lets a `receive` skip what lies in the mailbox since before a reference was made, if the reference gets to it
  # as a variable: not through what a protected body gives. So a reference that a tail call hands on is made outside of it.
  defp protect(anno, body, context, part \\ 0) do
    with nil <- context.callback,
         {before, match, rest} <- Tail.reference(body, context.scope),
         # what the first part binds comes out of it, so that it has to be called otherwise inside
         bound = MapSet.difference(Form.variables(before), context.outer),
         used = MapSet.intersection(bound, Form.variables([match | rest])),
         # the same name again in a branch or in a fun may be the same variable, or another one
         true <- MapSet.subset?(used, Form.bound(before)) do
      {:match, _, {:var, _, name} = reference, made} = match
      inner = &:"scope@part#{part}_#{&1}"
      context = %{context | outer: context.outer |> MapSet.union(bound) |> MapSet.put(name)}
      rest = protect(anno, rest, context, part + 1)
      then = protect_part(anno, [made], reference, rest, context, part * 2 + 1)

      if before == [] do
        then
      else
        tuple = &Form.tuple(anno, for(variable <- Enum.sort(used), do: Form.var(anno, &1.(variable))))
        before = Form.rename(before, bound, inner) ++ [tuple.(inner)]
        protect_part(anno, before, tuple.(& &1), then, context, part * 2 + 2)
      end
    else
      _whole -> protect_whole(anno, body, context)
    end
  end

  defp protect_part(anno, body, pattern, then, context, part) do
    {:try, Form.generated(anno), effects_of(body, context.scope, part),
     [Form.clause(anno, [pattern], [], [then])], [Ends.reraise(anno, 0, [context.site], nil)], []}
  end

  defp protect_whole(anno, body, context) do
    scope = Map.put(context.scope, :outer, context.outer)
    {body, _count} = Tail.map(body, scope, 0, &comprehension(&1, &2, &3, context.scope))
    # the pass before may have made variables of its own
    scope = Map.put(scope, :numbered, 1_000)
    start = %{calls: [], next: 1, outer: context.outer, scope: context.scope}
    {tagged, %{calls: calls, next: next}} = Tail.map(body, scope, start, &tag/3)

    {protected, of} =
      case calls do
        # nor branches
        [] when next == 1 ->
          {body, [Ends.leave(anno, Form.var(anno, :scope@value), context)]}

        calls ->
          value = Form.cell(anno, Form.var(anno, :scope@value))

          {tagged,
           [
             Ends.leave(anno, value, context)
             | calls |> Enum.reverse() |> Enum.map(&Ends.leave_by(&1, context))
           ]}
      end

    {:try, Form.generated(anno), effects_of(protected, context.scope, 0), of,
     [Ends.reraise(anno, 0, [context.site], nil)], []}
  end

  # Variables of one part may not be bound anew in another: each numbers its own from elsewhere.
  defp effects_of(body, %{plan: %{messages: true}} = scope, part),
    do: Effects.record(body, scope, part * 1_000)

  defp effects_of(body, _scope, _part), do: body

  # A comprehension is a function of its own that the compiler calls, as a tail call where it stands last. Kept inside for its
  # result, it must not show that it is none.
  defp comprehension(:comprehension, form, count, scope) do
    anno = elem(form, 1)
    {{:try, Form.generated(anno), [form], [], [Ends.reraise(anno, "0_#{count}", [], scope)], []}, count + 1}
  end

  defp comprehension(_kind, form, count, _scope), do: {form, count}

  # Inside, a tail call is what is needed to make it: {number, arguments...}; outside it is made.
  defp tag(:value, value, acc), do: {Form.cell(elem(value, 1), value), acc}

  # Its result is what its own ends gave. It is called inside, but must not show that it is no tail call.
  defp tag(:branch, call, acc) do
    anno = elem(call, 1)
    again = Ends.reraise(anno, "1_#{acc.next}", [], acc.scope)
    {{:try, Form.generated(anno), [call], [], [again], []}, %{acc | next: acc.next + 1}}
  end

  # The compiler makes a fun that is called where it stands part of its caller.
  defp tag(:once, call, acc), do: {call, %{acc | next: acc.next + 1}}

  defp tag(:call, {:call, anno, target, args}, acc) do
    {parts, rebuild} = parts(target, args)

    {parts, {carried, _count}} =
      Enum.map_reduce(parts, {[], 0}, fn part, {carried, count} ->
        if stays?(part, acc.outer) do
          {part, {carried, count}}
        else
          variable = Form.var(anno, :"scope@tail#{acc.next}_#{count}")
          {variable, {[{variable, part} | carried], count + 1}}
        end
      end)

    {variables, values} = carried |> Enum.reverse() |> Enum.unzip()
    pattern = numbered(anno, acc.next, variables)
    call = %{anno: anno, number: acc.next, pattern: pattern, call: rebuild.(anno, parts)}
    {numbered(anno, acc.next, values), %{acc | calls: [call | acc.calls], next: acc.next + 1}}
  end

  defp numbered(anno, number, []), do: Form.integer(anno, number)
  defp numbered(anno, number, elements), do: Form.tuple(anno, [Form.integer(anno, number) | elements])

  # What has to be evaluated before the call, in the language's order.
  defp parts({:remote, remote_anno, module, name}, args) do
    {[module, name | args],
     fn anno, [module, name | args] -> {:call, anno, {:remote, remote_anno, module, name}, args} end}
  end

  defp parts({:atom, _, _} = local, args), do: {args, fn anno, args -> {:call, anno, local, args} end}
  defp parts(fun, args), do: {[fun | args], fn anno, [fun | args] -> {:call, anno, fun, args} end}

  # Literals, and variables that were bound before the body.
  defp stays?({:var, _, name}, outer), do: MapSet.member?(outer, name)
  defp stays?(form, _outer), do: Effects.simple?(form)
end
