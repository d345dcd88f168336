defmodule ElixirScope.Test.Oracle do
  @moduledoc "What a query should answer, told by `Enum.filter/2` over all events."

  @marks [:user_event, :performance_metric, :span_start, :span_stop, :variable_assignment]

  @doc "The events of `events` (oldest first) that the options ask for."
  def query(events, opts) do
    limit = Keyword.get(opts, :limit, 1_000)
    matching = Enum.filter(events, &matches?(&1, opts))

    kept =
      cond do
        limit == :infinity -> matching
        opts[:after] -> Enum.take(matching, limit)
        true -> Enum.take(matching, -limit)
      end

    if opts[:order] == :desc, do: Enum.reverse(kept), else: kept
  end

  def count(events, opts), do: Enum.count(events, &matches?(&1, opts))

  defp matches?(event, opts), do: Enum.all?(opts, fn {key, value} -> holds?(key, value, event) end)

  defp holds?(:pid, :all, _event), do: true
  defp holds?(:pid, pids, event), do: event.pid in List.wrap(pids)
  defp holds?(:event_type, :all, _event), do: true
  defp holds?(:event_type, types, event), do: event.event_type in List.wrap(types)
  defp holds?(key, value, event) when key in [:module, :function, :arity], do: place(event)[key] == value
  defp holds?(:since, time, event), do: event.timestamp >= time
  defp holds?(:until, time, event), do: event.timestamp <= time
  defp holds?(:before, id, event), do: event.id < id
  defp holds?(:after, id, event), do: event.id > id
  defp holds?(:correlation_id, id, event), do: event.correlation_id == id

  defp holds?(:call_id, id, event),
    do: Map.get(event, :call_id) == id or event.parent_id == id

  defp holds?(:where, conditions, event), do: Enum.all?(conditions, &condition?(&1, event))
  defp holds?(key, _value, _event) when key in [:limit, :order, :payload], do: true

  # Marks are about the function that they stand in, though their structs do not show it, or not all of it.
  defp place(%{event_type: type, pid: pid} = event) when is_pid(pid) do
    case event do
      %{arity: arity} -> %{module: event.module, function: event.function, arity: arity}
      _mark when type in @marks -> %{module: ElixirScope.QueryTest, function: :record_one, arity: 1}
    end
  end

  defp place(_loss), do: %{}

  defp condition?({path, op, value}, event) do
    case {op, fetch(event, path)} do
      {:exists, found} -> value == (found != :error)
      {_op, :error} -> false
      {:==, {:ok, found}} -> found == value
      {:!=, {:ok, found}} -> found != value
      {:<, {:ok, found}} -> found < value
      {:>, {:ok, found}} -> found > value
      {:in, {:ok, found}} -> Enum.any?(value, &(&1 == found))
      {:contains, {:ok, found}} -> contains?(found, value)
    end
  end

  defp contains?(found, part) when is_binary(found) and is_binary(part), do: String.contains?(found, part)
  defp contains?(found, part) when is_list(found), do: element?(found, part)
  defp contains?(found, part) when is_map(found), do: is_map_key(found, part)
  defp contains?(_found, _part), do: false

  # Of the elements before an improper tail.
  defp element?([element | rest], part), do: element === part or element?(rest, part)
  defp element?(_end, _part), do: false

  defp fetch(value, []), do: {:ok, value}

  defp fetch(value, [step | rest]) do
    with {:ok, inner} <- step(value, step), do: fetch(inner, rest)
  end

  defp step(value, key) when is_map(value), do: Map.fetch(value, key)

  defp step(value, index) when is_list(value) and is_integer(index), do: at(value, index)

  # Lists may be improper, which List.keyfind/3 does not take.
  defp step([{found, inner} | _rest], key) when found === key, do: {:ok, inner}
  defp step([_other | rest], key), do: step(rest, key)

  defp step(value, index)
       when is_tuple(value) and is_integer(index) and index in 0..(tuple_size(value) - 1)//1,
       do: {:ok, elem(value, index)}

  defp step(_value, _step), do: :error

  defp at([element | _rest], 0), do: {:ok, element}
  defp at([_element | rest], index) when index > 0, do: at(rest, index - 1)
  defp at(_end, _index), do: :error
end
