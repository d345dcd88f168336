defmodule ElixirScope.Life.Tree do
  @moduledoc false

  # The processes of a time as a tree of parents and children: those that live now, taken back to that time by what the tape tells of
  # births, ends, names and links since.

  alias ElixirScope.{Events, Native}
  alias ElixirScope.Life.{Lineage, Living, Past}

  @spec at(time :: integer | :now, most :: pos_integer) :: map | {:error, term}
  def at(time, most) do
    now = Native.now()
    {living, count} = Living.all(most)

    with %{} = past <- Past.read(),
         {:ok, calls} <- calls(time) do
      at = if time == :now, do: now, else: time
      pids = pids(time, at, living, past)
      taken = Enum.take(pids, most)
      whole = length(pids) <= most and count <= most
      nodes = nodes(time, at, taken, living, past, calls)

      Map.merge(completeness(time, at, past, whole), %{
        at: at,
        processes: length(taken),
        children: grow(nodes)
      })
    end
  end

  # The calls that were open, of instrumented functions.
  defp calls(:now), do: {:ok, %{}}

  defp calls(time) do
    with stacks when is_list(stacks) <- Native.stacks_at(%{time: time}) do
      {:ok,
       for({pid, _last, [call | _]} <- stacks, into: %{}, do: {pid, {call.module, call.function, call.arity}})}
    end
  end

  # -- Who lived --------------------------------------------------------------------------------------------------------

  defp pids(:now, _at, living, _past), do: living |> Map.keys() |> Enum.sort()

  defp pids(_time, at, living, past) do
    later = for {pid, %{at: ended}} <- past.ends, ended > at, do: pid
    (Map.keys(living) ++ later) |> Enum.uniq() |> Enum.filter(&born_by?(&1, at, past)) |> Enum.sort()
  end

  defp born_by?(pid, at, past) do
    case past.births do
      %{^pid => %{at: born}} -> born <= at
      _unknown -> true
    end
  end

  # -- What each was ----------------------------------------------------------------------------------------------------

  defp nodes(time, at, pids, living, past, calls) do
    supervisor? = fn pid -> supervisor?(begun(pid, living, past)) end
    lineage = Lineage.of(past, supervisor?)
    nodes = Map.new(pids, &{&1, node(&1, time, at, living, past, calls)})
    # the dead that hold others together
    nodes = with_parents(nodes, at, living, past)

    for {pid, node} <- nodes, into: %{} do
      {pid, %{node | kind: kind(pid, node, supervisor?), restarts: Lineage.restarts(lineage, pid)}}
    end
  end

  defp node(pid, time, at, living, past, calls) do
    look = Map.get(living, pid)
    birth = Map.get(past.births, pid)
    ending = Map.get(past.ends, pid)

    %{
      pid: pid,
      name: name(pid, time, at, look, birth, past),
      alive: ending == nil or ending.at > at,
      born_at: birth && birth.at,
      exited_at: ending && ending.at,
      exit_reason: ending && ending.reason,
      initial_call: begun(pid, living, past),
      current: if(time == :now, do: look && look.current, else: Map.get(calls, pid)),
      links: links(pid, time, at, look, past),
      restarts: 0,
      kind: :other,
      parent: (birth && birth.parent) || (look && look.parent),
      children: []
    }
  end

  defp name(_pid, :now, _at, look, _birth, _past), do: look && look.name

  defp name(pid, _time, at, look, birth, past) do
    case Past.name_at(past, pid, at) do
      {:ok, name} -> name
      :error -> (look && look.name) || (birth && birth.name)
    end
  end

  defp links(_pid, :now, _at, look, _past), do: if(look, do: Enum.sort(look.links), else: [])

  defp links(pid, _time, at, look, past) do
    told = Past.links_at(past, pid, at)
    now = if look, do: Enum.reject(look.links, &is_map_key(told, &1)), else: []
    linked = for({other, true} <- told, do: other) ++ now
    Enum.sort(for other <- linked, existed?(other, at, past), do: other)
  end

  # A link ends with either of the two.
  defp existed?(pid, at, past) do
    ending = Map.get(past.ends, pid)
    born_by?(pid, at, past) and (ending == nil or ending.at > at)
  end

  defp begun(pid, living, past) do
    case {living, past.births} do
      {%{^pid => %{initial_call: call}}, _births} -> call
      {_living, %{^pid => %{initial_call: call}}} -> call
      _unknown -> nil
    end
  end

  defp supervisor?({:supervisor, _module, _arity}), do: true
  defp supervisor?(_call), do: false

  defp kind(pid, node, supervisor?) do
    cond do
      supervisor?.(pid) -> :supervisor
      node.parent != nil and supervisor?.(node.parent) -> :worker
      true -> :other
    end
  end

  defp with_parents(nodes, at, living, past) do
    missing =
      for {_pid, %{parent: parent}} <- nodes,
          parent != nil and not is_map_key(nodes, parent),
          is_map_key(past.births, parent) or is_map_key(past.ends, parent),
          uniq: true,
          do: parent

    case missing do
      [] ->
        nodes

      missing ->
        missing
        |> Map.new(&{&1, %{node(&1, at, at, %{}, past, %{}) | alive: false}})
        |> Map.merge(nodes)
        |> with_parents(at, living, past)
    end
  end

  # -- The tree ---------------------------------------------------------------------------------------------------------

  defp grow(nodes) do
    children = Enum.group_by(Map.values(nodes), &if(is_map_key(nodes, &1.parent), do: &1.parent))
    branches(nil, children)
  end

  defp branches(parent, children) do
    children
    |> Map.get(parent, [])
    |> Enum.sort_by(& &1.pid)
    |> Enum.map(&%{&1 | children: branches(&1.pid, children)})
  end

  # -- What is not known ------------------------------------------------------------------------------------------------

  defp completeness(_time, _at, _past, false), do: %{complete: false, reason: :too_many_processes}
  defp completeness(:now, _at, _past, true), do: %{complete: true, reason: nil}

  defp completeness(_time, at, past, true) do
    cond do
      not past.complete -> %{complete: false, reason: :too_many_events}
      not traced_since?(at) -> %{complete: false, reason: :not_traced}
      lost_since?(at) -> %{complete: false, reason: :events_lost}
      true -> %{complete: true, reason: nil}
    end
  end

  # Whether one trace has told of the births and ends of all processes from then on until now.
  defp traced_since?(at) do
    told = Native.get_events(%{event_type: [:trace_control], limit: 10_000, order: :asc, payload: true})

    told = if is_list(told), do: told, else: []
    {before, later} = Enum.split_while(told, &(&1.timestamp <= at))
    running = Enum.reduce(before, 0, &running/2)
    running > 0 and not Enum.any?(later, &(covers?(&1) and &1.operation == :ended))
  end

  defp running(event, count) do
    case covers?(event) && event.operation do
      :started -> count + 1
      :ended -> max(count - 1, 0)
      _other -> count
    end
  end

  defp covers?(%Events.TraceControl{target: :all, limits: %{events: events}}) when is_list(events),
    do: :procs in events

  defp covers?(_event), do: false

  defp lost_since?(at) do
    lost = Native.get_events(%{event_type: [:data_loss], since: at, limit: 1, order: :asc, payload: false})
    lost != []
  end
end
