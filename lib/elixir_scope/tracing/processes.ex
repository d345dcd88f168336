defmodule ElixirScope.Tracing.Processes do
  @moduledoc false

  # Which processes belong together: by who spawned whom, by application, by their work for the node. Nothing is asked of them.

  alias ElixirScope.Patience

  # `ElixirScope.Server`, which calls all of us.
  @in_users_tree :"Elixir.ElixirScope.Server"

  @doc "Processes that are ours: recording never records itself."
  @spec ours() :: MapSet.t(pid)
  def ours, do: [Patience.root(), @in_users_tree] |> named() |> descendants() |> MapSet.new()

  @doc "The group leader of a process, and that of the node, and all that write the node's log."
  @spec writers(pid) :: MapSet.t(pid)
  def writers(of) do
    leaders = [leader(of) | named([:user, :standard_error, :standard_error_sup, :init])]
    loggers = named([:logger, :logger_sup, :logger_proxy, Logger, Logger.Supervisor])
    MapSet.new(Enum.filter(leaders, &is_pid/1) ++ descendants(loggers))
  end

  @doc "Those that belong to an application, by its group leader."
  @spec of_application(atom) :: [pid]
  def of_application(app) do
    case :application_controller.get_master(app) do
      master when is_pid(master) -> Enum.filter(Process.list(), &(leader(&1) == master))
      _not_running -> []
    end
  end

  @doc "These processes, and all that they spawned, and those these spawned, as long as the one in between lives."
  @spec descendants([pid]) :: [pid]
  def descendants([]), do: []

  def descendants(roots) do
    by_parent = Enum.group_by(Process.list(), &fact(&1, :parent))
    roots |> descend(by_parent, MapSet.new()) |> MapSet.to_list()
  end

  defp descend([], _by_parent, found), do: found

  defp descend([pid | rest], by_parent, found) do
    if MapSet.member?(found, pid),
      do: descend(rest, by_parent, found),
      else: descend(Map.get(by_parent, pid, []) ++ rest, by_parent, MapSet.put(found, pid))
  end

  @doc "Whether a process has asked the VM not to be looked into: it has no stack to show then."
  @spec sensitive?(pid) :: boolean
  def sensitive?(pid), do: fact(pid, :backtrace) == ""

  defp leader(pid), do: fact(pid, :group_leader)

  defp fact(pid, item) do
    case :erlang.process_info(pid, item) do
      {^item, fact} -> fact
      :undefined -> nil
    end
  end

  defp named(names), do: for(name <- names, pid = Process.whereis(name), is_pid(pid), do: pid)
end
