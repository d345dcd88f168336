defmodule ElixirScope.Patience do
  @moduledoc false

  # A process of ours may die at any time, and its successor is there at once: a request that can be repeated waits for it.

  alias ElixirScope.Error

  @root :elixir_scope_supervisor
  @limit_ms 5_000
  @pause_ms 10

  @doc "The name of our topmost supervisor: where it is gone, nobody restarts anything."
  @spec root() :: atom
  def root, do: @root

  @doc """
  Starts a process that has a name. A supervisor that was killed leaves children that end by themselves, but may still hold
  their names when its successor starts new ones: they are waited for.
  """
  @spec start((() -> Supervisor.on_start())) :: Supervisor.on_start()
  def start(start) do
    with {:error, {:already_started, orphan}} <- start.() do
      monitor = Process.monitor(orphan)

      receive do
        {:DOWN, ^monitor, :process, ^orphan, _reason} -> start.()
      after
        @limit_ms ->
          Process.demonitor(monitor, [:flush])
          {:error, {:already_started, orphan}}
      end
    end
  end

  @doc "Runs `request`, which calls processes of ours, again as long as they are being restarted."
  @spec call((() -> answer), non_neg_integer) :: answer | {:error, Error.t()} when answer: term
  def call(request, left_ms \\ @limit_ms) do
    request.()
  catch
    :exit, {reason, {module, :call, [process | _]}} when module in [GenServer, :gen_server] ->
      cond do
        Process.whereis(@root) == nil ->
          {:error, %Error{reason: :application_not_started}}

        left_ms <= 0 ->
          {:error, %Error{reason: reason, details: %{what: "a call of #{inspect(process)}"}}}

        true ->
          Process.sleep(@pause_ms)
          call(request, left_ms - @pause_ms)
      end
  end
end
