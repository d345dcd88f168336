defmodule ElixirScope.Life.Past do
  @moduledoc false

  # What the tape tells of the lives of processes: births, ends, names and links, from traces of `:procs`, from instrumented code that
  # starts processes, and from crashes.

  alias ElixirScope.{Events, Native}
  alias ElixirScope.Life.Look

  @kinds [
    :process_spawn,
    :process_exit,
    :process_register,
    :process_unregister,
    :process_link,
    :process_unlink,
    :crash
  ]

  # As many of the newest events are looked at.
  @most 200_000

  @type birth :: %{at: integer, parent: pid | nil, name: atom | nil, initial_call: mfa | nil, args: term}
  @typedoc "`late`: recorded some time after the end."
  @type ending :: %{at: integer, reason: term, event_id: pos_integer, late: boolean}
  @type t :: %{
          births: %{pid => birth},
          ends: %{pid => ending},
          crashes: %{pid => %{supervisor: pid | nil, links: [pid]}},
          supervisors: %{pid => true},
          names: %{pid => [{integer, :register | :unregister, atom}]},
          links: %{pid => %{pid => [{integer, :link | :unlink}]}},
          complete: boolean
        }

  @doc "All that the tape has, or `{:error, reason}`."
  @spec read() :: t | {:error, term}
  def read do
    query = %{event_type: @kinds, limit: @most, order: :asc, payload: true}

    with events when is_list(events) <- Native.get_events(query) do
      empty = %{
        births: %{},
        ends: %{},
        crashes: %{},
        supervisors: %{},
        names: %{},
        links: %{},
        complete: length(events) < @most
      }

      past = Enum.reduce(events, empty, &take/2)
      # newest first so far
      %{
        past
        | names: reversed(past.names),
          links: Map.new(past.links, fn {pid, links} -> {pid, reversed(links)} end)
      }
    end
  end

  @doc "Whether a process is or was a supervisor."
  @spec supervisor?(t, pid) :: boolean
  def supervisor?(past, pid) do
    case past.births do
      %{^pid => %{initial_call: {module, _function, _arity}}} -> module == :supervisor
      _unknown -> is_map_key(past.supervisors, pid) or Look.supervisor?(pid)
    end
  end

  @doc "The name that a process had at a time; `{:ok, nil}` for none, `:error` where the tape does not tell."
  @spec name_at(t, pid, integer) :: {:ok, atom | nil} | :error
  def name_at(past, pid, time) do
    case around(Map.get(past.names, pid, []), time) do
      {{_at, :register, name}, _next} -> {:ok, name}
      {{_at, :unregister, _name}, _next} -> {:ok, nil}
      {nil, {_at, :unregister, name}} -> {:ok, name}
      {nil, {_at, :register, _name}} -> {:ok, nil}
      {nil, nil} -> :error
    end
  end

  @doc "The last name that a process had, as far as the tape tells."
  @spec last_name(t, pid) :: atom | nil
  def last_name(past, pid) do
    case {List.last(Map.get(past.names, pid, [])), past.births} do
      {{_at, _what, name}, _births} -> name
      {nil, %{^pid => %{name: name}}} -> name
      _unknown -> nil
    end
  end

  @doc "With whom a process was linked at a time, true or false for each of whom the tape tells."
  @spec links_at(t, pid, integer) :: %{pid => boolean}
  def links_at(past, pid, time) do
    for {other, changes} <- Map.get(past.links, pid, %{}), into: %{} do
      case around(changes, time) do
        {{_at, what}, _next} -> {other, what == :link}
        {nil, {_at, what}} -> {other, what == :unlink}
      end
    end
  end

  @doc "With what a process began, as its birth tells."
  @spec initial_call(Events.ProcessSpawn.t()) :: mfa | nil
  def initial_call(%{module: nil}), do: nil
  # As OTP itself names supervisors, see `proc_lib:translate_initial_call/1`.
  def initial_call(%{module: :supervisor, args: [{_name, module, _arg}]}) when is_atom(module),
    do: {:supervisor, module, 1}

  def initial_call(%{module: DynamicSupervisor, args: [{module, _arg, _name}]}) when is_atom(module),
    do: {:supervisor, module, 1}

  def initial_call(%{module: :supervisor}), do: {:supervisor, :supervisor, 1}
  def initial_call(%{module: DynamicSupervisor}), do: {:supervisor, DynamicSupervisor, 1}

  def initial_call(%{module: module, function: function, args: args}) do
    {module, function, if(is_list(args), do: length(args), else: 0)}
  end

  defp around(changes, time) do
    {before, later} = Enum.split_while(changes, &(elem(&1, 0) <= time))
    {List.last(before), List.first(later)}
  end

  # -- Events -----------------------------------------------------------------------------------------------------------

  defp take(%Events.ProcessSpawn{spawned_pid: pid} = event, past) when is_pid(pid) do
    birth = %{
      at: event.timestamp,
      parent: if(is_pid(event.parent_pid), do: event.parent_pid),
      name: event.registered_name,
      initial_call: initial_call(event),
      args: event.args
    }

    # The VM and the code that spawned it may both tell; the first knows when.
    update_in(past.births, &Map.update(&1, pid, birth, fn known -> merge(known, birth) end))
  end

  defp take(%Events.ProcessExit{pid: pid} = event, past) do
    put_in(past.ends[pid], %{at: event.timestamp, reason: event.exit_reason, event_id: event.id, late: false})
  end

  # An end that the VM tells of goes before. Links are told as of the crash, and have ended with it.
  defp take(%Events.CrashDump{pid: pid} = event, past) do
    late = event.linked_pids == nil
    crash = %{at: event.timestamp, reason: event.crash_reason, event_id: event.id, late: late}
    past = update_in(past.ends, &Map.put_new(&1, pid, crash))
    past = put_in(past.crashes[pid], %{supervisor: event.supervisor_pid, links: event.linked_pids || []})
    if event.supervisor_pid, do: put_in(past.supervisors[event.supervisor_pid], true), else: past
  end

  defp take(%Events.ProcessRegister{pid: pid} = event, past), do: named(past, pid, :register, event)
  defp take(%Events.ProcessUnregister{pid: pid} = event, past), do: named(past, pid, :unregister, event)
  defp take(%Events.ProcessLink{pid: pid} = event, past), do: linked(past, pid, :link, event)
  defp take(%Events.ProcessUnlink{pid: pid} = event, past), do: linked(past, pid, :unlink, event)
  defp take(_other, past), do: past

  defp merge(known, more),
    do: Map.merge(known, more, fn _key, old, new -> if(is_nil(old), do: new, else: old) end)

  defp named(past, pid, what, event) do
    update_in(past.names, &push(&1, pid, {event.timestamp, what, event.name}))
  end

  # Either side may tell.
  defp linked(past, pid, what, %{other_pid: other} = event) when is_pid(other) do
    change = {event.timestamp, what}
    links = Map.update(past.links, pid, %{other => [change]}, &push(&1, other, change))
    %{past | links: Map.update(links, other, %{pid => [change]}, &push(&1, pid, change))}
  end

  defp linked(past, _pid, _what, _port), do: past

  defp push(map, key, value), do: Map.update(map, key, [value], &[value | &1])

  defp reversed(map), do: Map.new(map, fn {key, values} -> {key, Enum.reverse(values)} end)
end
