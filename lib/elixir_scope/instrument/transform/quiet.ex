defmodule ElixirScope.Instrument.Transform.Quiet do
  @moduledoc false

  # Bodies in which nothing can be raised until they come to their end: a value that is only put together, or a tail call with
  # such arguments, also behind a `case` that always has a clause. There is nothing to protect in them, which saves the host a
  # `try` and the compiler most of its work (the functions of `lists` take a third of the time, for one).

  alias ElixirScope.Instrument.Form
  alias ElixirScope.Instrument.Transform.{Effects, Tail}

  # They compare any two terms.
  @comparing [:==, :"/=", :"=<", :<, :>=, :>, :"=:=", :"=/="]

  # They ask any term.
  @asking [
    :is_atom,
    :is_binary,
    :is_bitstring,
    :is_boolean,
    :is_float,
    :is_function,
    :is_integer,
    :is_list,
    :is_map,
    :is_number,
    :is_pid,
    :is_port,
    :is_reference,
    :is_tuple
  ]

  @doc "Whether a body is such a one; `bound` are the names that its head binds."
  @spec body?([tuple], MapSet.t(atom), map) :: boolean
  def body?([last], bound, scope), do: last?(last, bound, scope)

  # it may be a branch (see `Tail`), which is rewritten along with the body
  def body?([{:match, _, _variable, {:fun, _, {:clauses, _}}} | _rest], _bound, _scope), do: false

  def body?([{:match, _, {:var, _, name}, value} | rest], bound, scope) do
    # a name that is bound already is compared, and may raise; a fun may be called further on, as a branch of the body
    not MapSet.member?(bound, name) and not match?({:fun, _, {:clauses, _}}, value) and value?(value) and
      body?(rest, MapSet.union(MapSet.put(bound, name), Form.variables(value)), scope)
  end

  def body?(_body, _bound, _scope), do: false

  defp last?({:block, _, body}, bound, scope), do: body?(body, bound, scope)

  defp last?({:case, _, value, clauses}, bound, scope) do
    value?(value) and always?(List.last(clauses), bound) and
      Enum.all?(clauses, fn {:clause, _, patterns, _guards, body} ->
        body?(body, MapSet.union(bound, Form.variables(patterns)), scope)
      end)
  end

  defp last?({:call, _, target, args} = call, _bound, scope) do
    value?(call) or
      (Effects.kind(call, scope) == nil and Tail.tail_call?(call, scope) and callee?(target) and
         Enum.all?(args, &value?/1))
  end

  defp last?(value, _bound, _scope), do: value?(value)

  # What a fun or a module's name is made of could raise before the call.
  defp callee?({:remote, _, module, name}), do: Effects.simple?(module) and Effects.simple?(name)
  defp callee?(target), do: Effects.simple?(target)

  defp always?({:clause, _, [{:var, _, name}], [], _body}, bound), do: not MapSet.member?(bound, name)
  defp always?(_clause, _bound), do: false

  # What gives a value whatever it is given.
  defp value?({:cons, _, head, tail}), do: value?(head) and value?(tail)
  defp value?({:tuple, _, elements}), do: Enum.all?(elements, &value?/1)
  defp value?({:map, _, fields}), do: Enum.all?(fields, &field?/1)
  defp value?({:fun, _, {:clauses, _}}), do: true
  defp value?({:fun, _, {:function, _name, _arity}}), do: true
  defp value?({:op, _, op, left, right}) when op in @comparing, do: value?(left) and value?(right)

  defp value?({:call, _, {:remote, _, {:atom, _, :erlang}, {:atom, _, name}}, args}) do
    case args do
      [arg] -> name in @asking and value?(arg)
      [left, right] -> name in @comparing and value?(left) and value?(right)
      _other -> false
    end
  end

  defp value?(other), do: Effects.simple?(other)

  defp field?({:map_field_assoc, _, key, value}), do: value?(key) and value?(value)
  defp field?(_exact), do: false
end
