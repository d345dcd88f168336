defmodule ElixirScope.Watch.Followers do
  @moduledoc false

  # One follower to a watched process.

  use DynamicSupervisor

  alias ElixirScope.{Error, Muted, Patience}
  alias ElixirScope.Watch.{Cell, Follower, Table}

  @spec start_link(term) :: Supervisor.on_start()
  def start_link(_arg) do
    Patience.start(fn -> DynamicSupervisor.start_link(__MODULE__, nil, name: __MODULE__) end)
  end

  @impl true
  def init(nil) do
    Muted.forever()
    DynamicSupervisor.init(strategy: :one_for_one, max_restarts: 1_000, max_seconds: 1)
  end

  @doc "Watches a process, by its follower, or by a new one."
  @spec watch(Follower.target(), map) :: {:ok, reference} | {:error, :not_running | Error.t()}
  def watch(target, opts), do: watch(target, opts, 100)

  defp watch({pid, _module}, _opts, 0),
    do: {:error, %Error{reason: {:timeout, 1_000}, details: %{what: "the watch of #{inspect(pid)}"}}}

  defp watch(target, opts, attempts) do
    answer =
      with :none <- call(elem(target, 0), &Follower.watch(&1, opts)),
           {:ok, follower} <- start(target),
           do: try_call(follower, &Follower.watch(&1, opts))

    with :none <- answer do
      # one that has just ended, or that another caller is just starting
      Process.sleep(10)
      watch(target, opts, attempts - 1)
    end
  end

  @spec unwatch(pid, reference) :: :ok
  def unwatch(pid, ref) do
    call(pid, &Follower.unwatch(&1, ref))
    :ok
  end

  @doc "Ends all watches; at once, and then takes what they have left out of the processes."
  @spec stop_all() :: :ok
  def stop_all do
    for {_pid, _follower, {cell, _functions}} <- Table.rows(), do: Cell.close(cell)

    for follower <- all(),
        do: Patience.call(fn -> DynamicSupervisor.terminate_child(__MODULE__, follower) end)

    :ok
  end

  @spec all() :: [pid]
  def all, do: for({_pid, follower, _left} <- Table.rows(), do: follower)

  defp start(target) do
    case Patience.call(fn -> DynamicSupervisor.start_child(__MODULE__, {Follower, target}) end) do
      {:ok, follower} -> {:ok, follower}
      :ignore -> :none
      {:error, reason} -> {:error, reason}
    end
  end

  defp call(pid, request) do
    if follower = Table.follower(pid), do: try_call(follower, request), else: :none
  end

  defp try_call(follower, request) do
    request.(follower)
  catch
    :exit, {_gone, {GenServer, :call, _args}} -> :none
  end
end
