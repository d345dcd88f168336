defmodule ElixirScope.Server do
  @moduledoc false

  # Ties the recorder to a supervision tree, as `{ElixirScope, opts}`: started or adopted when the tree starts, stopped with it.
  # A crash of this process leaves the recorder alone; its successor adopts it.

  use GenServer

  alias ElixirScope.{Config, Muted, Recorder}

  @spec start_link(term) :: GenServer.on_start()
  def start_link(opts) do
    # Here and not in `init/1`: a wrong option is an answer to the caller, not a crash.
    case Muted.run(fn -> Config.load(opts) end) do
      {:ok, %{enabled: false}} -> :ignore
      {:ok, config} -> started(GenServer.start_link(__MODULE__, config, name: __MODULE__))
      {:error, error} -> {:error, error}
    end
  end

  defp started({:error, {:shutdown, error}}), do: {:error, error}
  defp started(answer), do: answer

  @impl true
  def init(config) do
    Muted.forever()
    Process.flag(:trap_exit, true)

    case Recorder.start_with(config) do
      :ok -> {:ok, nil}
      {:error, error} -> {:stop, {:shutdown, error}}
    end
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
