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

  alias ElixirScope.Site
  alias ElixirScope.Instrument.{Form, Plan, Runtime}
  alias ElixirScope.Instrument.Transform.{Args, Body, Effects, Ends, Locals, Tail}

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

  @max_args 8

  @doc "A function that is recorded as what `role` says; `callback` is what is known of it as a callback, or nil."
  @spec function(tuple, Plan.role(), map | nil, scope) :: tuple
  def function({:function, anno, name, arity, clauses}, role, callback, scope) do
    scope = Map.put(scope, :arg_names, Args.names(clauses))

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
      {{:try, anno, [Effects.seen(call)], [of], [Ends.reraise(anno, count, [], scope)], []}, count + 1}
    else
      {call, count}
    end
  end

  defp frameless(_kind, value, count, _scope), do: {value, count}

  # -- One clause -----------------------------------------------------------------------------------------------------------

  defp clause({:clause, anno, patterns, guards, body}, number, role, callback, scope) do
    {patterns, args} = Args.bind(patterns, scope.arg_names)
    site = Form.literal(anno, site(anno, number, role, args, scope))
    outer = Form.variables(patterns)
    body = Locals.record(body, outer, scope.plan.locals, Map.put(scope, :if_entered, &Ends.if_entered/2))

    context = %{
      scope: scope,
      site: site,
      tail_site: &Form.literal(anno, tail_site(anno, number, role, args, &1, scope)),
      outer: outer,
      callback: if(match?({:callback, _, _, shape} when shape != nil, role), do: callback),
      args: args
    }

    enter = Form.match(anno, Ends.token(anno), enter(anno, site, args, scope.plan))
    state = loop_state(anno, site, args, scope)
    {:clause, anno, patterns, guards, [enter | state] ++ Body.record(anno, body, context)}
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

      # the emulator's error has the line of the first clause, which need not be that of the function: a head without a body
      first = clauses |> hd() |> elem(1)
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
    [Ends.if_entered(anno, Form.native(anno, :loop_state, [site, Ends.token(anno), Form.var(anno, state)]))]
  end

  defp loop_state(_anno, _site, _args, _scope), do: []
end
