defmodule ElixirScope.Watch.Table do
  @moduledoc false

  # Who follows a process, and what it has put into it. The table belongs to our topmost supervisor, and outlives a follower. Rows are
  # `{pid, follower, nil | {cell, debug functions}}`.

  alias ElixirScope.Watch.Cell

  @table __MODULE__

  @spec create() :: :ok
  def create do
    @table = :ets.new(@table, [:named_table, :public])
    :ok
  end

  @spec follower(pid) :: pid | nil
  def follower(pid) do
    case :ets.lookup(@table, pid) do
      [{_pid, follower, _left}] -> follower
      [] -> nil
    end
  end

  @doc """
  Makes a follower the one of a process; `:taken` where it has one. `{:left, what}` where that one was killed, and has left something in
  the process.
  """
  @spec register(pid, follower :: pid) :: :ok | :taken | {:left, {Cell.t(), function_ids :: [term]}}
  def register(pid, follower) do
    if :ets.insert_new(@table, {pid, follower, nil}) do
      :ok
    else
      case :ets.lookup(@table, pid) do
        [{_pid, dead, left} = row] -> if(Process.alive?(dead), do: :taken, else: succeed(row, left, follower))
        [] -> register(pid, follower)
      end
    end
  end

  defp succeed(row, nil, follower) do
    :ets.delete_object(@table, row)
    register(elem(row, 0), follower)
  end

  defp succeed({pid, dead, left}, left, follower) do
    # of several successors, one clears up
    won = :ets.select_replace(@table, [{{pid, dead, :"$1"}, [], [{{pid, follower, nil}}]}])
    if won == 1, do: {:left, left}, else: :taken
  end

  @doc "Notes what a follower puts into its process, before it does."
  @spec note(pid, {Cell.t(), function_ids :: [term]}) :: boolean
  def note(pid, left), do: :ets.update_element(@table, pid, {3, left})

  @spec forget(pid) :: :ok
  def forget(pid) do
    :ets.delete(@table, pid)
    :ok
  end

  @doc "All of them; none where our topmost supervisor is gone."
  @spec rows() :: [{pid, follower :: pid, nil | {Cell.t(), function_ids :: [term]}}]
  def rows, do: if(:ets.whereis(@table) == :undefined, do: [], else: :ets.tab2list(@table))
end
