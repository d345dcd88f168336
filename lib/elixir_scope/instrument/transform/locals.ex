defmodule ElixirScope.Instrument.Transform.Locals do
  @moduledoc false

  # The variables that are bound at a place of a body: where it ends, or before given lines.

  alias ElixirScope.Instrument.Form

  @doc """
  A body that records its variables: `true` before each of its last expressions, a list of lines before the first expression
  of each of these lines. `bound` are the names that the head binds.
  """
  @spec record([tuple], MapSet.t(atom), boolean | [pos_integer], map) :: [tuple]
  def record(body, _bound, false, _scope), do: body
  def record(body, bound, true, scope), do: body |> walk(bound, {:exit, scope}) |> elem(0)
  def record(body, bound, lines, scope), do: body |> walk(bound, {MapSet.new(lines), scope}) |> elem(0)

  # Answers the lines that are left, beside the body.
  defp walk([last], bound, {:exit, scope}) do
    case nested(last, bound, {:exit, scope}) do
      {^last, _where} -> {snapshot(last, bound, scope) ++ [last], {:exit, scope}}
      {inside, _where} -> {[inside], {:exit, scope}}
    end
  end

  defp walk([form | rest], bound, {:exit, _scope} = where) do
    {rest, where} = walk(rest, MapSet.union(bound, bound_by(form)), where)
    {[form | rest], where}
  end

  defp walk([], _bound, where), do: {[], where}

  defp walk([form | rest], bound, {lines, scope}) do
    {before, lines} =
      if MapSet.member?(lines, Form.line(form)),
        do: {snapshot(form, bound, scope), MapSet.delete(lines, Form.line(form))},
        else: {[], lines}

    {form, where} = nested(form, bound, {lines, scope})
    {rest, where} = walk(rest, MapSet.union(bound, bound_by(form)), where)
    {before ++ [form | rest], where}
  end

  # Where bodies stand inside of an expression, and what is bound there besides. Funs and comprehensions are bodies of their
  # own functions, and left alone.
  defp nested({:match, anno, pattern, value}, bound, {lines, scope}) when lines != :exit do
    {value, where} = nested(value, bound, {lines, scope})
    {{:match, anno, pattern, value}, where}
  end

  defp nested({:case, anno, value, clauses}, bound, where) do
    {clauses, where} = clauses(clauses, MapSet.union(bound, bound_by(value)), where)
    {{:case, anno, value, clauses}, where}
  end

  defp nested({:if, anno, clauses}, bound, where) do
    {clauses, where} = clauses(clauses, bound, where)
    {{:if, anno, clauses}, where}
  end

  defp nested({:receive, anno, clauses}, bound, where) do
    {clauses, where} = clauses(clauses, bound, where)
    {{:receive, anno, clauses}, where}
  end

  defp nested({:receive, anno, clauses, timeout, otherwise}, bound, where) do
    {clauses, where} = clauses(clauses, bound, where)
    {otherwise, where} = walk(otherwise, bound, where)
    {{:receive, anno, clauses, timeout, otherwise}, where}
  end

  defp nested({:block, anno, body}, bound, where) do
    {body, where} = walk(body, bound, where)
    {{:block, anno, body}, where}
  end

  # What the protected part binds is not bound outside of it.
  defp nested({:try, anno, body, of, caught, finally}, bound, where) do
    {body, where} = walk(body, bound, where)
    {of, where} = clauses(of, bound, where)
    {caught, where} = clauses(caught, bound, where)
    {{:try, anno, body, of, caught, finally}, where}
  end

  defp nested(other, _bound, where), do: {other, where}

  defp clauses(clauses, bound, where) do
    Enum.map_reduce(clauses, where, fn {:clause, anno, patterns, guards, body}, where ->
      {body, where} = walk(body, MapSet.union(bound, Form.variables(patterns)), where)
      {{:clause, anno, patterns, guards, body}, where}
    end)
  end

  defp bound_by({:match, _anno, pattern, value}), do: MapSet.union(Form.variables(pattern), bound_by(value))
  defp bound_by({:block, _anno, body}), do: Enum.reduce(body, MapSet.new(), &MapSet.union(bound_by(&1), &2))
  defp bound_by(_other), do: MapSet.new()

  defp snapshot(form, bound, scope) do
    anno = elem(form, 1)

    # of several bindings of a name the newest counts
    variables =
      for name <- bound, {source, binding} <- [Form.source_name(name)], reduce: %{} do
        variables -> Map.update(variables, source, {binding, name}, &max(&1, {binding, name}))
      end

    pairs =
      for {source, {_binding, name}} <- Enum.sort(variables) do
        {:map_field_assoc, Form.generated(anno), Form.atom(anno, source), Form.var(anno, name)}
      end

    site = Form.literal(anno, scope.mark.(Form.line(form)))
    [scope.if_entered.(anno, Form.native(anno, :snapshot, [site, {:map, Form.generated(anno), pairs}]))]
  end
end
