defmodule ElixirScope.Tracing.Target do
  @moduledoc false

  # Whom or what a trace is about, as it is given; made into processes that live now, or functions.

  alias ElixirScope.{Error, Options}
  alias ElixirScope.Tracing.{Functions, Processes}

  @typedoc """
  `named` are processes that were named one by one: they are refused where a set would leave them out. `found` are those of a set.
  """
  @type t :: %{
          scope: :members | :all | :new,
          named: [pid],
          found: [pid],
          functions: [term],
          grows: boolean
        }

  @none %{scope: :members, named: [], found: [], functions: [], grows: false}

  @doc "What is traced, in words."
  @spec expected() :: String.t()
  def expected do
    "a pid, the name of a process, :new, :all, {:tree, supervisor}, {:app, application}, functions (#{Functions.expected()}), or a list of " <>
      "processes or of functions"
  end

  @spec find(term) :: {:ok, t} | {:error, {:remote, node} | Error.t()}
  def find(scope) when scope in [:all, :new], do: {:ok, %{@none | scope: scope}}

  def find([_ | _] = list) do
    cond do
      not Options.proper_list?(list) -> wrong(list)
      Enum.all?(list, &Functions.names?/1) -> {:ok, %{@none | scope: :all, functions: list}}
      true -> collect(list, @none)
    end
  end

  def find(target) do
    if Functions.names?(target),
      do: {:ok, %{@none | scope: :all, functions: [target]}},
      else: one(target)
  end

  defp collect([], found), do: {:ok, %{found | named: Enum.uniq(found.named), found: Enum.uniq(found.found)}}

  defp collect([target | rest], found) do
    cond do
      target in [:all, :new] or Functions.names?(target) ->
        wrong(target)

      true ->
        with {:ok, one} <- one(target) do
          collect(rest, %{
            found
            | named: found.named ++ one.named,
              found: found.found ++ one.found,
              grows: found.grows or one.grows
          })
        end
    end
  end

  defp one({:tree, root}) do
    with {:ok, pid} <- pid(root), do: {:ok, %{@none | found: Processes.descendants([pid]), grows: true}}
  end

  defp one({:app, app}) when is_atom(app) do
    case Processes.of_application(app) do
      [] -> {:error, %Error{reason: {:no_process, {:app, app}}}}
      pids -> {:ok, %{@none | found: pids, grows: true}}
    end
  end

  defp one(process) do
    with {:ok, pid} <- pid(process), do: {:ok, %{@none | named: [pid]}}
  end

  defp pid(pid) when is_pid(pid) and node(pid) == node() do
    if Process.alive?(pid), do: {:ok, pid}, else: {:error, %Error{reason: {:no_process, pid}}}
  end

  defp pid(pid) when is_pid(pid), do: {:error, {:remote, node(pid)}}
  defp pid({name, node}) when is_atom(name) and node == node(), do: pid(name)

  defp pid({name, node}) when is_atom(name) and is_atom(node) and name not in [:global, :via, :tree, :app],
    do: {:error, {:remote, node}}

  defp pid(name) when is_atom(name) and name not in [nil, true, false], do: registered(name)
  defp pid({:global, _term} = name), do: registered(name)
  defp pid({:via, module, _term} = name) when is_atom(module), do: registered(name)
  defp pid(other), do: wrong(other)

  defp registered(name) do
    case GenServer.whereis(name) do
      nil -> {:error, %Error{reason: {:no_process, name}}}
      process -> pid(process)
    end
  end

  defp wrong(target), do: Error.invalid(:target, target, expected())
end
