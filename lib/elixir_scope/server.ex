defmodule ElixirScope.Server do
  @moduledoc false

  # Ties the recorder to a supervision tree, as `{ElixirScope, opts}`: started or adopted when the tree starts, stopped with it.
  # A crash of this process leaves the recorder alone; its successor adopts it.

  use GenServer

  alias ElixirScope.{Config, Muted, Recorder}

  @spec start_link(term) :: GenServer.on_start()
  def start_link(opts) do
    # The recorder is started here and not in `init/1`: what is wrong is an answer to the caller, not a crash.
    Muted.run(fn ->
      case Config.load(opts) do
        {:ok, %{enabled: false}} -> :ignore
        {:ok, config} -> start_once(config, opts, Process.whereis(__MODULE__))
        {:error, error} -> {:error, error}
      end
    end)
  end

  defp start_once(config, opts, nil) do
    with :ok <- Recorder.start_with(config, opts), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)
  end

  defp start_once(_config, _opts, server), do: {:error, {:already_started, server}}

  @impl true
  def init(nil) do
    Muted.forever()
    Process.flag(:trap_exit, true)
    {:ok, nil}
  end

  @impl true
  def handle_info(_message, state), do: {:noreply, state}

  @impl true
  def terminate(reason, _state) do
    if orderly?(reason), do: Recorder.stop()
  end

  defp orderly?(:normal), do: true
  defp orderly?(:shutdown), do: true
  defp orderly?({:shutdown, _why}), do: true
  defp orderly?(_crash), do: false
end
