defmodule ElixirScope.Instrument.Transform.Ends do
  @moduledoc false

  # How a body is left: with a value, by a tail call, or by an exception. What stands here is the injected code after the
  # function's own; the context is that of the clause, see `Transform.Body`.

  alias ElixirScope.Instrument.{Form, Runtime}
  alias ElixirScope.Instrument.Transform.Effects

  @typep anno :: :erl_anno.anno()

  @token :scope@token

  @doc "An `of` clause for the values of a body."
  @spec leave(anno, tuple, map) :: tuple
  def leave(anno, pattern, context) do
    Form.clause(anno, [pattern], [], [exit_with(anno, Form.var(anno, :scope@value), context)])
  end

  @doc "Records a value, and gives it back."
  @spec exit_with(anno, tuple, map) :: tuple
  def exit_with(anno, value, %{callback: %{} = callback} = context) do
    old = old_state(anno, callback.state, context)
    trigger = trigger(anno, callback.trigger, context)
    Form.call(anno, Runtime, :exit_callback, [context.site, token(anno), value, old, trigger])
  end

  def exit_with(anno, value, %{scope: %{plan: %{returns: true}}} = context),
    do: Form.call(anno, Runtime, :exit, [context.site, token(anno), value])

  def exit_with(anno, value, context),
    do: Form.call(anno, Runtime, :exit_void, [context.site, token(anno), value])

  defp old_state(anno, nil, _context), do: Form.atom(anno, :"$elixir_scope_none")

  defp old_state(anno, {:name, data}, %{scope: %{function: {name, _arity}}} = context),
    do: Form.tuple(anno, [Form.atom(anno, name), arg(anno, data, context)])

  defp old_state(anno, {name, data}, context),
    do: Form.tuple(anno, [arg(anno, name, context), arg(anno, data, context)])

  defp old_state(anno, index, context), do: arg(anno, index, context)

  defp trigger(anno, [], _context), do: Form.atom(anno, nil)
  defp trigger(anno, [index], context), do: arg(anno, index, context)
  defp trigger(anno, indices, context), do: Form.tuple(anno, Enum.map(indices, &arg(anno, &1, context)))

  defp arg(anno, index, context) do
    {name, _source} = Enum.at(context.args, index)
    Form.var(anno, name)
  end

  @doc "An `of` clause for one tail call, by the number that the body gave it."
  @spec leave_by(map, map) :: tuple
  def leave_by(%{anno: anno, number: number, pattern: pattern, call: call}, context) do
    scope = context.scope
    kind = if scope.plan.messages, do: Effects.kind(call, scope)

    body =
      if kind == :spawn or
           (context.callback != nil and not callback?(call, context) and not leaves_all?(call)) do
        [seen(anno, number, call, kind, context)]
      else
        sent(call, kind, scope) ++
          go_on(anno, call, context) ++
          [Form.call(anno, Runtime, leave_for(call), [tail_site(call, context), token(anno)]), call]
      end

    Form.clause(anno, [pattern], [], body)
  end

  # The callback that is called records the state itself, and may go on so for long.
  defp callback?({:call, _, {:atom, _, name}, args}, %{scope: %{function: {name, arity}}}),
    do: length(args) == arity

  defp callback?(_call, _context), do: false

  @doc "Records the state with which a loop goes on, before the tail call of itself by which it does."
  @spec go_on(anno, tuple, map) :: [tuple]
  def go_on(anno, call, context) do
    case loop_arg(call, context) do
      nil ->
        []

      {index, new} ->
        states = [arg(anno, index, context), new]
        [if_entered(anno, Form.native(anno, :loop_state, [context.site, token(anno) | states]))]
    end
  end

  @doc "The index of the argument that is the state, and the argument, of a loop's call of itself; nil of any other call."
  @spec loop_arg(tuple, map) :: {non_neg_integer, tuple} | nil
  def loop_arg({:call, _anno, target, args}, %{scope: %{plan: %{state: {name, arity, index}}} = scope}) do
    own? =
      case target do
        {:atom, _, ^name} -> true
        {:remote, _, {:atom, _, module}, {:atom, _, ^name}} -> module == scope.module
        _other -> false
      end

    if own? and scope.function == {name, arity} and length(args) == arity, do: {index, Enum.at(args, index)}
  end

  def loop_arg(_call, _context), do: nil

  @doc "What `Runtime` does before a tail call: a process that hibernates, or becomes a server by itself, leaves all of its calls."
  @spec leave_for(tuple) :: :exit_all | :exit_tail
  def leave_for(call), do: if(leaves_all?(call), do: :exit_all, else: :exit_tail)

  defp leaves_all?({:call, _, {:remote, _, {:atom, _, module}, {:atom, _, :hibernate}}, [_, _, _]})
       when module in [:erlang, :proc_lib],
       do: true

  defp leaves_all?({:call, _, {:atom, _, :hibernate}, [_, _, _]}), do: true

  defp leaves_all?({:call, _, {:remote, _, {:atom, _, module}, {:atom, _, :enter_loop}}, _args})
       when module in [:gen_server, :gen_statem],
       do: true

  defp leaves_all?(_call), do: false

  @doc "The site of a tail call. Who is called is told where it is known, so that the result can be found where the chain ends."
  @spec tail_site(tuple, map) :: tuple
  def tail_site({:call, _, {:remote, _, {:atom, _, module}, {:atom, _, name}}, args}, context),
    do: context.tail_site.({module, name, length(args)})

  def tail_site({:call, _, {:atom, _, name}, args}, %{scope: scope} = context) do
    function = {name, length(args)}
    context.tail_site.({scope.imports[function] || scope.module, name, length(args)})
  end

  def tail_site(_dynamic, context), do: context.site

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

  @doc "A `catch` clause that records what was raised, and raises it on."
  @spec reraise(anno, term, [tuple], map | nil) :: tuple
  def reraise(anno, number, site, scope) do
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

  @doc "Something that is done only where the entry was recorded."
  @spec if_entered(anno, tuple) :: tuple
  def if_entered(anno, call) do
    entered = {:op, Form.generated(anno), :>=, token(anno), Form.integer(anno, 0)}

    {:case, Form.generated(anno), entered,
     [
       Form.clause(anno, [Form.atom(anno, true)], [], [call]),
       Form.clause(anno, [Form.atom(anno, false)], [], [Form.atom(anno, :ok)])
     ]}
  end

  @doc "The variable of what the entry gave."
  @spec token(anno) :: tuple
  def token(anno), do: Form.var(anno, @token)
end
