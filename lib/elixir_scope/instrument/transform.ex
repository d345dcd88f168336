defmodule ElixirScope.Instrument.Transform do
  @moduledoc false

  # Functions that record themselves, from functions that do not.
  #
  #     f(P, Q) when G -> Body.
  #
  # becomes
  #
  #     f(A = P, B = Q) when G ->
  #         T = Native:enter_2(Site, A, B),
  #         try Body' of
  #             [V]       -> Runtime:exit(Site, T, V);        % a value, which comes back
  #             {1, X, Y} -> Runtime:exit_tail(Site, T), g(X, Y);     % a tail call, outside of what is protected
  #             {2, X}    -> Runtime:exit_tail(Site, T), h(X)
  #         catch C:R:S   -> Runtime:reraise(Site, T, C, R, S)   % exit_error, and raised on
  #         end
  #
  # where Body' gives [V] for a value and a tuple of the arguments for a tail call. So a tail call is one as before, and what is
  # raised in the body is seen on its way. A body without tail calls gives its value as it is, and one in which nothing can
  # be raised is not protected. Guards and patterns stay the same, and with them which clause is chosen, and the error when none
  # is. Whatever the recorder does, T is only a number: negative where there is nothing to do at the end.
  #
  # Some calls in tail position are kept inside nevertheless, because of what they give: those of a callback that has a
  # state, and those that start a process. Then their frame would show in stack traces, and is taken out of them again.

  alias ElixirScope.{Config, Site}
  alias ElixirScope.Instrument.{Beam, Form, Plan, Runtime}
  alias ElixirScope.Instrument.Transform.{Effects, Locals, Quiet, Tail}

  @typedoc """
  What the module's forms and the plan say, the same for all of its functions; then the function at hand, and how a site of
  it is made for a line.
  """
  @type scope :: %{
          :module => module,
          :plan => Plan.t(),
          :functions => MapSet.t({atom, arity}),
          :imports => %{{atom, arity} => module},
          :file => String.t(),
          :function => {atom, arity},
          :mark => (non_neg_integer -> Site.t()),
          optional(atom) => term
        }

  @token :scope@token
  @max_args 8
  @secrets Config.default_redact()

  @doc "A function that is recorded as what `role` says; `callback` is what is known of it as a callback, or nil."
  @spec function(tuple, Plan.role(), map | nil, scope) :: tuple
  def function({:function, anno, name, arity, clauses}, role, callback, scope) do
    scope = Map.put(scope, :arg_names, arg_names(clauses))

    recorded =
      for {clause, number} <- Enum.with_index(clauses, 1), do: clause(clause, number, role, callback, scope)

    {:function, anno, name, arity, recorded ++ unmatched(anno, clauses, role, scope)}
  end

  @doc "A function that is not recorded itself, but what it does to other processes is."
  @spec effects(tuple, scope) :: tuple
  def effects({:function, anno, name, arity, clauses}, scope) do
    clauses =
      for {:clause, clause_anno, patterns, guards, body} <- clauses do
        {body, _count} = Tail.map(body, scope, 0, &frameless(&1, &2, &3, scope))
        {:clause, clause_anno, patterns, guards, Effects.record(body, scope)}
      end

    {:function, anno, name, arity, clauses}
  end

  # A tail call that starts a process, with its result seen.
  defp frameless(:call, call, count, scope) do
    if Effects.kind(call, scope) == :spawn do
      anno = elem(call, 1)
      value = :"scope@spawned#{count}"
      variable = Form.var(anno, value)
      of = Form.clause(anno, [variable], [], [Effects.spawned(call, value, scope), variable])
      {{:try, anno, [Effects.seen(call)], [of], [reraise(anno, count, [], scope)], []}, count + 1}
    else
      {call, count}
    end
  end

  defp frameless(_kind, value, count, _scope), do: {value, count}

  # -- One clause -----------------------------------------------------------------------------------------------------------

  defp clause({:clause, anno, patterns, guards, body}, number, role, callback, scope) do
    {patterns, args} = name_args(patterns, scope.arg_names)
    site = Form.literal(anno, site(anno, number, role, args, scope))
    outer = Form.variables(patterns)
    body = Locals.record(body, outer, scope.plan.locals, Map.put(scope, :if_entered, &if_entered/2))

    context = %{
      scope: scope,
      site: site,
      tail_site: &Form.literal(anno, tail_site(anno, number, role, args, &1, scope)),
      outer: outer,
      callback: if(match?({:callback, _, _, shape} when shape != nil, role), do: callback),
      args: args
    }

    enter = Form.match(anno, Form.var(anno, @token), enter(anno, site, args, scope.plan))
    state = loop_state(anno, site, args, scope)
    {:clause, anno, patterns, guards, [enter | state] ++ body(anno, body, context)}
  end

  # Where no clause may match, one more raises the very error that the emulator would, so that it is seen: without it a call
  # that failed leaves nothing on the tape.
  defp unmatched(anno, clauses, role, scope) do
    if total?(List.last(clauses)) do
      []
    else
      args = for {{_own, name}, index} <- Enum.with_index(scope.arg_names), do: {:"scope@arg#{index}", name}
      site = Form.literal(anno, site(anno, 0, role, args, scope))
      list = List.foldr(variables(anno, args), {nil, anno}, &{:cons, anno, &1, &2})

      first = if Beam.error_line() == :clause, do: clauses |> hd() |> elem(1), else: anno
      recorded = Form.call(first, Runtime, :unmatched, [site, list, Form.atom(first, scope.plan.args)])

      error =
        {:call, first, {:remote, first, {:atom, first, :erlang}, {:atom, first, :error}},
         [{:atom, first, :function_clause}, list]}

      [Form.clause(anno, variables(anno, args), [], [recorded, error])]
    end
  end

  defp total?({:clause, _anno, patterns, [], _body}) do
    names = for {:var, _, name} <- patterns, do: name
    bound = Enum.reject(names, &(&1 == :_))
    length(names) == length(patterns) and bound == Enum.uniq(bound)
  end

  defp total?(_guarded), do: false

  # Each argument gets a name, if its pattern is not one already.
  defp name_args(patterns, names) do
    patterns
    |> Enum.with_index(fn
      {:var, _, name} = pattern, _index when name != :_ ->
        {pattern, name}

      pattern, index ->
        anno = elem(pattern, 1)
        name = :"scope@arg#{index}"
        {Form.match(anno, Form.var(anno, name), pattern), name}
    end)
    |> Enum.unzip()
    |> then(fn {named, variables} ->
      {named, Enum.zip_with([patterns, variables, names], &arg_name/1)}
    end)
  end

  defp arg_name([_pattern, variable, {:secret, name}]), do: {variable, name}
  defp arg_name([pattern, variable, {_first, name}]), do: {variable, source_name(pattern) || name}

  # What each argument is called, which decides whether it is masked: a clause that calls it something else, or nothing, may
  # well be given the secret that another clause names.
  defp arg_names(clauses) do
    for patterns <- Enum.zip_with(for({:clause, _, patterns, _, _} <- clauses, do: patterns), & &1) do
      names = for pattern <- patterns, name = source_name(pattern), do: name

      case Enum.find(names, &(&1 in @secrets)) do
        nil -> {:first, List.first(names)}
        name -> {:secret, name}
      end
    end
  end

  # The name of an argument in the source, by which it may have to be masked; one that the function does not use is no less
  # secret.
  defp source_name({:var, _, name}) do
    case Form.source_name(Form.used(name)) do
      {source, _binding} -> plain(source)
      :none -> nil
    end
  end

  defp source_name({:match, _, left, right}), do: source_name(left) || source_name(right)

  defp source_name({:bin, _, elements}) do
    names = for {:bin_element, _, part, _, _} <- elements, name = source_name(part), do: name
    Enum.find(names, &(&1 in @secrets))
  end

  defp source_name(_pattern), do: nil

  # Erlang writes `Password` where Elixir writes `password`.
  defp plain(source) do
    case Atom.to_string(source) do
      <<first, _rest::binary>> = name when first in ?A..?Z -> name |> Macro.underscore() |> String.to_atom()
      _elixir -> source
    end
  end

  defp site(anno, number, role, args, scope) do
    {name, arity} = scope.function
    names = if Enum.any?(args, &elem(&1, 1)), do: Enum.map(args, &elem(&1, 1)), else: []
    Site.new({scope.module, name, arity, scope.file, Form.line({:clause, anno}), number, names, role})
  end

  defp tail_site(anno, number, role, args, callee, scope),
    do: site(anno, number, {:tail, role, callee}, args, scope)

  defp enter(anno, site, _args, %{args: false}), do: Form.native(anno, :enter_0, [site])

  defp enter(anno, site, args, _plan) when length(args) <= @max_args do
    Form.native(anno, :"enter_#{length(args)}", [site | variables(anno, args)])
  end

  defp enter(anno, site, args, _plan) do
    list = List.foldr(variables(anno, args), {nil, anno}, &{:cons, anno, &1, &2})
    Form.native(anno, :enter_n, [site, list])
  end

  defp variables(anno, args), do: for({name, _source} <- args, do: Form.var(anno, name))

  defp loop_state(anno, site, args, %{plan: %{state: {name, arity, index}}, function: {name, arity}}) do
    {state, _source} = Enum.at(args, index)
    [if_entered(anno, Form.native(anno, :loop_state, [site, token(anno), Form.var(anno, state)]))]
  end

  defp loop_state(_anno, _site, _args, _scope), do: []

  # -- The body -------------------------------------------------------------------------------------------------------------

  defp body(anno, body, context) do
    if context.callback == nil and Quiet.body?(body, context.outer, context.scope),
      do: unprotected(body, context),
      else: [protect(anno, body, context)]
  end

  defp unprotected(body, context) do
    scope = Map.put(context.scope, :outer, context.outer)

    {body, nil} =
      Tail.map(body, scope, nil, fn
        :value, value, nil ->
          {exit_with(elem(value, 1), value, context), nil}

        :call, {:call, anno, _target, _args} = call, nil ->
          left = Form.call(anno, Runtime, leave_for(call), [tail_site(call, context), token(anno)])
          {{:block, anno, [left, call]}, nil}
      end)

    effects_of(body, context.scope, 0)
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
     [Form.clause(anno, [pattern], [], [then])], [reraise(anno, 0, [context.site], nil)], []}
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
          {body, [leave(anno, Form.var(anno, :scope@value), context)]}

        calls ->
          value = Form.cell(anno, Form.var(anno, :scope@value))

          {tagged,
           [leave(anno, value, context) | calls |> Enum.reverse() |> Enum.map(&leave_by(&1, context))]}
      end

    {:try, Form.generated(anno), effects_of(protected, context.scope, 0), of,
     [reraise(anno, 0, [context.site], nil)], []}
  end

  # Variables of one part may not be bound anew in another: each numbers its own from elsewhere.
  defp effects_of(body, %{plan: %{messages: true}} = scope, part),
    do: Effects.record(body, scope, part * 1_000)

  defp effects_of(body, _scope, _part), do: body

  # A comprehension is a function of its own that the compiler calls, as a tail call where it stands last. Kept inside for its
  # result, it must not show that it is none.
  defp comprehension(:comprehension, form, count, scope) do
    anno = elem(form, 1)
    {{:try, Form.generated(anno), [form], [], [reraise(anno, "0_#{count}", [], scope)], []}, count + 1}
  end

  defp comprehension(_kind, form, count, _scope), do: {form, count}

  # Inside, a tail call is what is needed to make it: {number, arguments...}; outside it is made.
  defp tag(:value, value, acc), do: {Form.cell(elem(value, 1), value), acc}

  # Its result is what its own ends gave. It is called inside, but must not show that it is no tail call.
  defp tag(:branch, call, acc) do
    anno = elem(call, 1)
    again = reraise(anno, "1_#{acc.next}", [], acc.scope)
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

  # -- Its ends -------------------------------------------------------------------------------------------------------------

  defp leave(anno, pattern, context) do
    Form.clause(anno, [pattern], [], [exit_with(anno, Form.var(anno, :scope@value), context)])
  end

  # All of these give the value back.

  defp exit_with(anno, value, %{callback: %{} = callback} = context) do
    old = old_state(anno, callback.state, context)
    trigger = trigger(anno, callback.receives, context)
    Form.call(anno, Runtime, :exit_callback, [context.site, token(anno), value, old, trigger])
  end

  defp exit_with(anno, value, %{scope: %{plan: %{returns: true}}} = context),
    do: Form.call(anno, Runtime, :exit, [context.site, token(anno), value])

  defp exit_with(anno, value, context),
    do: Form.call(anno, Runtime, :exit_void, [context.site, token(anno), value])

  defp old_state(anno, nil, _context), do: Form.atom(anno, :"$elixir_scope_none")

  defp old_state(anno, {:name, data}, %{scope: %{function: {name, _arity}}} = context),
    do: Form.tuple(anno, [Form.atom(anno, name), arg(anno, data, context)])

  defp old_state(anno, {name, data}, context),
    do: Form.tuple(anno, [arg(anno, name, context), arg(anno, data, context)])

  defp old_state(anno, index, context), do: arg(anno, index, context)

  defp trigger(anno, {_via, message, _sender}, context), do: arg(anno, message, context)
  defp trigger(anno, nil, _context), do: Form.atom(anno, nil)

  defp arg(anno, index, context) do
    {name, _source} = Enum.at(context.args, index)
    Form.var(anno, name)
  end

  # The numbers that `tag` gave come back here, one clause to each.
  defp leave_by(%{anno: anno, number: number, pattern: pattern, call: call}, context) do
    scope = context.scope
    kind = if scope.plan.messages, do: Effects.kind(call, scope)

    body =
      if kind == :spawn or
           (context.callback != nil and not callback?(call, context) and not leaves_all?(call)) do
        [seen(anno, number, call, kind, context)]
      else
        sent(call, kind, scope) ++
          [Form.call(anno, Runtime, leave_for(call), [tail_site(call, context), token(anno)]), call]
      end

    Form.clause(anno, [pattern], [], body)
  end

  # The callback that is called records the state itself, and may go on so for long.
  defp callback?({:call, _, {:atom, _, name}, args}, %{scope: %{function: {name, arity}}}),
    do: length(args) == arity

  defp callback?(_call, _context), do: false

  # A process that hibernates, or becomes a server by itself, leaves all of its calls at once.
  defp leave_for(call), do: if(leaves_all?(call), do: :exit_all, else: :exit_tail)

  defp leaves_all?({:call, _, {:remote, _, {:atom, _, module}, {:atom, _, :hibernate}}, [_, _, _]})
       when module in [:erlang, :proc_lib],
       do: true

  defp leaves_all?({:call, _, {:atom, _, :hibernate}, [_, _, _]}), do: true

  defp leaves_all?({:call, _, {:remote, _, {:atom, _, module}, {:atom, _, :enter_loop}}, _args})
       when module in [:gen_server, :gen_statem],
       do: true

  defp leaves_all?(_call), do: false

  # Who is called is told where it is known: so the result can be found where the chain of tail calls ends.
  defp tail_site({:call, _, {:remote, _, {:atom, _, module}, {:atom, _, name}}, args}, context),
    do: context.tail_site.({module, name, length(args)})

  defp tail_site({:call, _, {:atom, _, name}, args}, %{scope: scope} = context) do
    function = {name, length(args)}
    context.tail_site.({scope.imports[function] || scope.module, name, length(args)})
  end

  defp tail_site(_dynamic, context), do: context.site

  # A tail call whose result is wanted: it keeps our frame, which is taken out of stack traces.
  defp seen(anno, number, call, kind, context) do
    value = :"scope@seen#{number}"
    variable = Form.var(anno, value)
    spawned = if kind == :spawn, do: [Effects.spawned(call, value, context.scope)], else: []

    of =
      Form.clause(
        anno,
        [variable],
        [],
        spawned ++ [if_entered(anno, exit_with(anno, variable, context)), variable]
      )

    body = sent(call, kind, context.scope) ++ [call]
    {:try, Form.generated(anno), body, [of], [reraise(anno, number, [context.site], context.scope)], []}
  end

  defp sent(call, {:message, type, to, message}, scope) do
    {:call, _anno, _target, args} = call
    [Effects.message(call, type, Enum.at(args, to), Enum.at(args, message), scope)]
  end

  defp sent(_call, _kind, _scope), do: []

  # catch C:R:S -> reraise(Site, T, C, R, S)
  defp reraise(anno, number, site, scope) do
    [class, reason, stack] =
      for part <- ["class", "reason", "stack"], do: Form.var(anno, :"scope@#{part}#{number}")

    raised = if scope, do: without_frame(anno, stack, scope), else: stack

    # Not `raise` right here: the compiler would hand on the emulator's own stack trace (`raw_raise`), which on its way
    # forgets the file and line of a function clause error.
    again =
      case site do
        [site] -> Form.call(anno, Runtime, :reraise, [site, token(anno), class, reason, raised])
        [] -> Form.call(anno, Runtime, :reraise, [class, reason, raised])
      end

    Form.clause(anno, [Form.tuple(anno, [class, reason, stack])], [], [again])
  end

  defp without_frame(anno, stack, %{module: module, function: {name, arity}}) do
    self = Form.call(anno, :erlang, :self, [])
    here = Form.call(anno, :erlang, :process_info, [self, Form.atom(anno, :current_stacktrace)])

    Form.call(anno, Runtime, :without_frame, [
      stack,
      here,
      Form.atom(anno, module),
      Form.atom(anno, name),
      Form.integer(anno, arity)
    ])
  end

  defp if_entered(anno, call) do
    entered = {:op, Form.generated(anno), :>=, token(anno), Form.integer(anno, 0)}

    {:case, Form.generated(anno), entered,
     [
       Form.clause(anno, [Form.atom(anno, true)], [], [call]),
       Form.clause(anno, [Form.atom(anno, false)], [], [Form.atom(anno, :ok)])
     ]}
  end

  defp token(anno), do: Form.var(anno, @token)
end
