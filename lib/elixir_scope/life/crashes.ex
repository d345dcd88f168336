defmodule ElixirScope.Life.Crashes do
  @moduledoc false

  # Records a crash for each process whose end the logger hears of, once, however many reports there are of it: that of its behaviour,
  # which has the state, that of `proc_lib`, which has the reason, and that of its supervisor, which is the only one for a process
  # that was killed.
  #
  # It listens as a primary filter in front of all others, and lets everything pass: a handler would come behind the filters of
  # Elixir's Logger, which from 1.15 on make text of the reports, and drop those of supervisors. It runs in whatever process logs,
  # most often the one that crashes: nothing here waits for another process of ours, and nothing is left in the process.

  alias ElixirScope.{Muted, Native}
  alias ElixirScope.Life.{CrashLog, Look, Restarts, Teller}

  @filter __MODULE__
  @table __MODULE__

  # Crashes in one second. The others are counted, and told by one event.
  @most_a_second 1_000

  # The newest ones that are remembered, so that a later report is known to be of the same crash.
  @remembered 4_096

  # Places of the counters.
  @window 1
  @in_window 2
  @recorded 3
  @skipped 4
  @number 5

  @most_links 100

  @type status :: %{recorded: non_neg_integer, skipped: non_neg_integer}

  @doc "Makes the tables; they belong to the caller."
  @spec create() :: :ok
  def create do
    @table = :ets.new(@table, [:named_table, :public, write_concurrency: true])
    Restarts.create()
  end

  @spec listen() :: :ok
  def listen do
    leave()
    counters = :atomics.new(@number, [])
    :persistent_term.put(@table, counters)
    :ets.delete_all_objects(@table)
    Restarts.forget()

    with :ok <- :logger.add_primary_filter(@filter, {&__MODULE__.filter/2, counters}) do
      %{filters: filters} = :logger.get_primary_config()
      {[ours], others} = Enum.split_with(filters, &match?({@filter, _filter}, &1))
      :logger.set_primary_config(:filters, [ours | others])
    end

    :ok
  end

  @spec leave() :: :ok
  def leave do
    _not_there = :logger.remove_primary_filter(@filter)
    :ok
  end

  @spec status() :: status
  def status do
    case :persistent_term.get(@table, nil) do
      nil -> %{recorded: 0, skipped: 0}
      counters -> %{recorded: :atomics.get(counters, @recorded), skipped: :atomics.get(counters, @skipped)}
    end
  end

  # A filter that raises is taken away by the logger.
  @doc false
  @spec filter(:logger.log_event(), :atomics.atomics_ref()) :: :ignore
  def filter(%{msg: {:report, %{label: {_who, _what}}}} = event, counters), do: hear(event, counters)
  def filter(%{meta: %{error_logger: %{emulator: true}}} = event, counters), do: hear(event, counters)
  def filter(_event, _counters), do: :ignore

  defp hear(event, counters) do
    if Native.recording() do
      try do
        crash = Muted.run(fn -> event |> CrashLog.read() |> take(counters) end)
        # What is muted is not recorded.
        with {pid, reason, state, supervisor, restarts, links} <- crash do
          Native.crash_note(pid, reason, state, supervisor, restarts, links)
        end
      catch
        # our tables are gone with our processes
        _class, _reason -> :ignore
      end
    end

    :ignore
  end

  # -- What was told ----------------------------------------------------------------------------------------------------

  defp take({:held, pid, state}, counters) when pid == self() do
    remember({:held, pid}, Native.crash_state(state), counters)
  end

  defp take({:crashed, pid, reason}, counters) when node(pid) == node() do
    name = if pid == self(), do: Look.name(pid)

    if first?(pid, name, counters) and within_rate?(counters) do
      supervisor = if pid == self(), do: Look.supervisor()
      restarts = if supervisor, do: Restarts.count(supervisor, pid, name)
      {pid, reason, held(pid), supervisor, restarts, links(pid)}
    end
  end

  defp take({:lost, supervisor, %{pid: pid, id: id} = child, reason}, counters) when node(pid) == node() do
    is_first = first?(pid, nil, counters)
    name = name_of(pid)
    restarts = Restarts.count(supervisor, pid, id, name)
    if child.restarted, do: Restarts.lost(supervisor, child, name)

    if is_first and within_rate?(counters) do
      {pid, reason, held(pid), supervisor, restarts, nil}
    end
  end

  defp take({:started, supervisor, child}, _counters) do
    Restarts.started(supervisor, child)
    nil
  end

  defp take(_other, _counters), do: nil

  defp links(pid) when pid == self() do
    {:links, links} = Process.info(pid, :links)
    links |> Enum.filter(&is_pid/1) |> Enum.take(@most_links)
  end

  defp links(_dead), do: nil

  defp held(pid) do
    case :ets.take(@table, {:held, pid}) do
      [{_key, state}] -> state
      [] -> nil
    end
  end

  # -- Once each --------------------------------------------------------------------------------------------------------

  defp first?(pid, name, counters), do: remember({:crashed, pid}, name, counters)

  defp name_of(pid) do
    case :ets.lookup(@table, {:crashed, pid}) do
      [{_key, name}] -> name
      [] -> nil
    end
  end

  # False where it is known already. The oldest one is forgotten for it.
  defp remember(key, value, counters) do
    if :ets.insert_new(@table, {key, value}) do
      place = rem(:atomics.add_get(counters, @number, 1), @remembered)

      case :ets.lookup(@table, place) do
        [{_place, oldest}] -> :ets.delete(@table, oldest)
        [] -> :ok
      end

      :ets.insert(@table, {place, key})
    else
      false
    end
  end

  # -- Not too many -----------------------------------------------------------------------------------------------------

  defp within_rate?(counters) do
    now = System.monotonic_time(:second)

    if :atomics.get(counters, @window) != now do
      if :atomics.exchange(counters, @window, now) != now, do: :atomics.put(counters, @in_window, 0)
    end

    if :atomics.add_get(counters, @in_window, 1) <= @most_a_second do
      :atomics.add(counters, @recorded, 1)
      true
    else
      :atomics.add(counters, @skipped, 1)
      Teller.skipped(@most_a_second)
      false
    end
  end
end
