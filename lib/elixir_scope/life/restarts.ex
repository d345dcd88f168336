defmodule ElixirScope.Life.Restarts do
  @moduledoc false

  # Which child of a supervisor came in the place of which, and how often that has happened, by what supervisors tell the logger. A
  # restart is told by two reports of one process, right after one another: a child has ended, a child was started.

  @table __MODULE__

  # Rows. With more of them all is forgotten: counts begin anew, and none is wrong for it but too low.
  @most 20_000

  @typedoc "`restarts` is nil where some restart of this supervisor was not followed up."
  @type count :: non_neg_integer | nil

  @spec create() :: :ok
  def create do
    @table = :ets.new(@table, [:named_table, :public, write_concurrency: true])
    :ok
  end

  @spec forget() :: true
  def forget, do: :ets.delete_all_objects(@table)

  @doc "A child has ended, and will be restarted. `name` is what it was registered as."
  @spec lost(supervisor :: pid, child :: term, name :: atom | nil) :: :ok
  def lost(supervisor, %{pid: pid, id: id}, name) do
    if :ets.info(@table, :size) > @most, do: forget()
    count = (count(supervisor, pid, id, name) || 0) + 1
    rows = [{{:awaited, supervisor, id}, pid, count}]
    rows = if id == :undefined, do: rows, else: [{{:count, supervisor, {:id, id}}, count} | rows]
    rows = if name, do: [{{:count, supervisor, {:name, name}}, count} | rows], else: rows
    :ets.insert(@table, rows)
    # one that was never told of as restarted stays open
    open(supervisor, 1)
  end

  @doc "A child was started, maybe in the place of one that had ended."
  @spec started(supervisor :: pid, child :: term) :: :ok
  def started(supervisor, %{pid: pid, id: id}) do
    case :ets.take(@table, {:awaited, supervisor, id}) do
      [{_key, before, count}] ->
        :ets.insert(@table, [{{:child, pid}, before, count}, {{:next, before}, pid}])
        open(supervisor, -1)

      [] ->
        :ok
    end
  end

  @doc "How often a child was restarted before."
  @spec count(supervisor :: pid, pid, id :: term, name :: atom | nil) :: count
  def count(supervisor, pid, id \\ :undefined, name) do
    with nil <- value({:child, pid}, 3),
         nil <- (id != :undefined && value({:count, supervisor, {:id, id}}, 2)) || nil,
         nil <- name && value({:count, supervisor, {:name, name}}, 2) do
      if id == :undefined and name == nil and unsure?(supervisor), do: nil, else: 0
    end
  end

  @doc "The process that came in the place of one, or nil."
  @spec successor(pid) :: pid | nil
  def successor(pid), do: value({:next, pid}, 2)

  @doc "The process in whose place one came, and how many there were before it."
  @spec predecessor(pid) :: {pid, pos_integer} | nil
  def predecessor(pid) do
    case :ets.lookup(@table, {:child, pid}) do
      [{_key, before, count}] -> {before, count}
      [] -> nil
    end
  end

  defp open(supervisor, difference) do
    :ets.update_counter(@table, {:open, supervisor}, {2, difference}, {{:open, supervisor}, 0})
    :ok
  end

  # Some child ended, and what came in its place was not told.
  defp unsure?(supervisor), do: (value({:open, supervisor}, 2) || 0) > 0

  defp value(key, position) do
    case :ets.lookup(@table, key) do
      [row] -> elem(row, position - 1)
      [] -> nil
    end
  end
end
