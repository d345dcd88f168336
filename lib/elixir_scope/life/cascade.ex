defmodule ElixirScope.Life.Cascade do
  @moduledoc false

  # Who died of whose end. An exit signal goes over links; who waits in a call for a process that dies exits with its reason inside of
  # its own; a supervisor stops siblings before it restarts a child, or gives up, and stops all of its children first.

  alias ElixirScope.Native
  alias ElixirScope.Life.{Lineage, Past}

  # A signal is taken up at once; a supervisor waits for its children, five seconds each as it is told mostly.
  @within_ns 10_000_000_000

  # What is recorded late is recorded within this.
  @late_ns 1_000_000_000

  @most 1_000

  @typedoc """
  `by` is the process whose end led to it, and `how`:

    * `:link`: it was linked to it
    * `:call`: it waited for its reply
    * `:stopped`: a supervisor stopped it, since a sibling had ended or since the supervisor was to end
    * `:gave_up`: it is the supervisor, which did not restart any more
  """
  @type member :: %{
          pid: pid,
          name: atom | nil,
          at: integer,
          reason: term,
          by: pid | nil,
          how: :link | :call | :stopped | :gave_up | nil
        }

  @type t :: %{cause: member | nil, followed: [member], events: [struct]}

  @spec of(pid, Past.t(), Lineage.t(), (pid -> boolean)) :: t
  def of(pid, past, lineage, supervisor?) do
    index = index(past, lineage, supervisor?)
    first = origin(pid, index, MapSet.new([pid]))
    followed = follow([pid], index, %{pid => {nil, nil}}) |> Map.delete(pid)
    members = for {other, {by, how}} <- followed, do: member(other, by, how, past)
    pids = Enum.uniq([first, pid | Map.keys(followed)])

    %{
      cause: if(first != pid, do: member(first, nil, nil, past)),
      followed: Enum.sort_by(members, & &1.at),
      events: events(pids, past, lineage)
    }
  end

  # -- Who can have died of whom ----------------------------------------------------------------------------------------

  defp index(past, lineage, supervisor?) do
    born = for {pid, %{parent: parent}} when parent != nil <- past.births, do: {parent, pid}
    told = for {pid, %{supervisor: parent}} when parent != nil <- past.crashes, do: {parent, pid}
    children = Enum.group_by(Enum.uniq(born ++ told), &elem(&1, 0), &elem(&1, 1))
    crash_links = for {pid, %{links: links}} <- past.crashes, other <- links, do: {other, pid}

    %{
      past: past,
      lineage: lineage,
      supervisor?: supervisor?,
      children: children,
      callers: Enum.group_by(called(past), &elem(&1, 0), &elem(&1, 1)),
      crash_links: Enum.group_by(crash_links, &elem(&1, 0), &elem(&1, 1))
    }
  end

  # `{reason, {GenServer, :call, [server | _]}}`, where the server is a pid or a name
  defp called(past) do
    names = for {pid, changes} <- past.names, {_at, _what, name} <- changes, into: %{}, do: {name, pid}

    for {pid, %{reason: {_reason, {_module, :call, [server | _more]}}}} <- past.ends,
        is_pid(server) or is_map_key(names, server),
        do: {Map.get(names, server, server), pid}
  end

  # -- Forwards ---------------------------------------------------------------------------------------------------------

  defp follow([], _index, known), do: known
  defp follow(_more, _index, known) when map_size(known) > @most, do: known

  defp follow([pid | more], index, known) do
    new =
      for {other, how} <- led_to(pid, index), not is_map_key(known, other), into: %{}, do: {other, {pid, how}}

    follow(more ++ Map.keys(new), index, Map.merge(new, known))
  end

  defp led_to(pid, index) do
    case index.past.ends do
      %{^pid => ending} ->
        called =
          for other <- Map.get(index.callers, pid, []), later?(ending, other, index), do: {other, :call}

        # A supervisor traps exits.
        linked =
          for other <- links(pid, index),
              later?(ending, other, index) and same_reason?(ending, other, index),
              not index.supervisor?.(other) or other not in List.wrap(supervisor(pid, index)),
              do: {other, :link}

        called ++ linked ++ by_supervisor(pid, ending, index)

      _alive ->
        []
    end
  end

  defp by_supervisor(pid, ending, index) do
    # One that was restarted was not stopped in the end.
    own =
      for other <- Map.get(index.children, pid, []),
          index.supervisor?.(pid) and near?(ending, other, index) and stopped?(other, index),
          Lineage.successor(index.lineage, other) == nil,
          do: {other, :stopped}

    parent = supervisor(pid, index)

    if parent != nil and index.supervisor?.(parent) do
      own ++ gave_up(pid, parent, ending, index) ++ siblings(pid, parent, ending, index)
    else
      own
    end
  end

  defp gave_up(pid, parent, ending, index) do
    for %{reason: reason} <- [index.past.ends[parent]],
        later?(ending, parent, index) and shutdown?(reason) and not shutdown?(ending.reason),
        Lineage.successor(index.lineage, pid) == nil,
        do: {parent, :gave_up}
  end

  # Those that the supervisor stopped before it restarted the one.
  defp siblings(pid, parent, ending, index) do
    with successor when successor != nil <- Lineage.successor(index.lineage, pid),
         %{at: reborn} <- Map.get(index.past.births, successor) do
      for other <- Map.get(index.children, parent, []),
          other != pid and later?(ending, other, index) and index.past.ends[other].at <= reborn,
          stopped?(other, index),
          do: {other, :stopped}
    else
      _unknown -> []
    end
  end

  defp supervisor(pid, index) do
    case index.past do
      %{crashes: %{^pid => %{supervisor: parent}}} when parent != nil -> parent
      %{births: %{^pid => %{parent: parent}}} -> parent
      _unknown -> nil
    end
  end

  defp links(pid, index) do
    on_tape = index.past.links |> Map.get(pid, %{}) |> Map.keys()
    told = Map.get(index.past.crashes, pid, %{links: []}).links
    Enum.uniq(on_tape ++ told ++ Map.get(index.crash_links, pid, []))
  end

  defp later?(%{at: first, late: late}, other, index) do
    case index.past.ends do
      %{^other => %{at: second}} -> (second - first) in if(late, do: -@late_ns, else: 0)..@within_ns
      _alive -> false
    end
  end

  defp near?(%{at: one}, other, index) do
    case index.past.ends do
      %{^other => %{at: second}} -> abs(second - one) <= @within_ns
      _alive -> false
    end
  end

  defp same_reason?(%{reason: reason}, other, index) do
    reason != :normal and index.past.ends[other].reason == reason
  end

  defp stopped?(pid, index),
    do: shutdown?(index.past.ends[pid].reason) or index.past.ends[pid].reason == :killed

  defp shutdown?(reason), do: reason == :shutdown or match?({:shutdown, _why}, reason)

  # -- Backwards --------------------------------------------------------------------------------------------------------

  # With whose end it all began.
  defp origin(pid, index, seen) do
    before =
      for other <- relatives(pid, index),
          not MapSet.member?(seen, other),
          {^pid, how} <- led_to(other, index),
          do: {rank(how), -index.past.ends[other].at, other}

    before = Enum.filter(before, fn {_rank, _at, other} -> earlier?(other, pid, index) end)

    case Enum.min(before, fn -> nil end) do
      nil -> pid
      {_rank, _at, other} -> origin(other, index, MapSet.put(seen, other))
    end
  end

  # A supervisor stops its children before it ends itself.
  defp earlier?(other, pid, index) do
    %{at: at, late: late} = index.past.ends[other]
    late or at <= index.past.ends[pid].at or supervisor(pid, index) == other
  end

  defp relatives(pid, index) do
    parent = supervisor(pid, index)
    siblings = if parent, do: Map.get(index.children, parent, []), else: []
    servers = for {server, callers} <- index.callers, pid in callers, do: server

    Enum.uniq(
      servers ++ links(pid, index) ++ List.wrap(parent) ++ siblings ++ Map.get(index.children, pid, [])
    )
  end

  defp rank(:call), do: 0
  defp rank(:link), do: 1
  defp rank(:gave_up), do: 2
  defp rank(:stopped), do: 3

  # -- The story --------------------------------------------------------------------------------------------------------

  defp member(pid, by, how, past) do
    %{at: at, reason: reason} = Map.fetch!(past.ends, pid)
    %{pid: pid, name: Past.last_name(past, pid), at: at, reason: reason, by: by, how: how}
  end

  defp events(pids, past, lineage) do
    ends = ask(%{pid: pids, event_type: [:crash, :process_exit]})
    times = for pid <- pids, %{at: at} <- [Map.get(past.ends, pid)], do: at
    successors = for pid <- pids, successor = Lineage.successor(lineage, pid), do: successor

    births =
      if times == [] or successors == [] do
        []
      else
        born = for pid <- successors, %{at: at} <- [Map.get(past.births, pid)], do: at

        window = %{
          event_type: [:process_spawn],
          since: Enum.min(times),
          until: Enum.max(born, fn -> Enum.min(times) end)
        }

        Enum.filter(ask(window), &(&1.spawned_pid in successors))
      end

    Enum.sort_by(ends ++ births, & &1.id)
  end

  defp ask(query) do
    case Native.get_events(Map.merge(%{limit: @most, order: :asc, payload: true}, query)) do
      events when is_list(events) -> events
      _error -> []
    end
  end
end
