defmodule ElixirScope.Recorder do
  @moduledoc false

  # The life of the native recorder. It belongs to no process: `Recorder.Server` only puts starts, stops and changes of the
  # configuration in one order, and can die at any time.

  alias ElixirScope.{Config, Error, Guard, Life, Muted, Native, Tracing, Watch}
  alias ElixirScope.Instrument.Live
  alias ElixirScope.Recorder.{InUse, Server}

  @spec start(term) :: :ok | {:error, Error.t()}
  def start(opts) do
    Muted.run(fn ->
      with {:ok, config} <- Config.load(opts), do: start_with(config, opts)
    end)
  end

  @doc "Starts with a configuration that is complete; `:ok` where the recorder runs already or is not enabled."
  @spec start_with(Config.t(), keyword) :: :ok | {:error, Error.t()}
  def start_with(%{enabled: false}, _opts), do: :ok

  def start_with(config, opts) do
    with nil <- Native.load_failure(),
         false <- Native.running(),
         :ok <- Server.call({:start, config}) do
      Live.start(config, Config.strategy_given?(opts))
    else
      true -> :ok
      {:error, error} -> {:error, error}
      failure -> {:error, failure}
    end
  end

  @spec stop() :: :ok | {:error, Error.t()}
  def stop do
    Muted.run(fn ->
      Tracing.stop_all(:recorder_stopped)
      answer = Server.call(:stop)
      # One that began in between; from now on none can.
      Tracing.stop_all(:recorder_stopped)

      case answer do
        # Nothing of ours is there that could still be in the way.
        {:error, %Error{reason: :application_not_started}} -> halt()
        answer -> answer
      end
    end)
  end

  @doc "Stops from the calling process, when our own ones are about to end or are gone."
  @spec halt() :: :ok
  def halt do
    Life.Crashes.leave()

    if Native.load_failure() == nil do
      if Tracing.server() == nil, do: Tracing.sweep()
      Native.stop()
    end

    InUse.forget()
    :ok
  end

  @spec pause() :: :ok | {:error, :not_running}
  def pause, do: running(&Native.pause/0)

  @spec resume() :: :ok | {:error, :not_running}
  def resume, do: running(&Native.resume/0)

  @spec now() :: integer | {:error, :not_running}
  def now, do: running(&Native.now/0)

  @spec running?() :: boolean
  def running?, do: Native.running()

  @spec get_config() :: Config.t() | {:error, Error.t()}
  def get_config do
    Muted.run(fn ->
      with nil <- InUse.config(),
           {:ok, config} <- Config.load() do
        config
      end
    end)
  end

  @spec update_config(term, term) :: :ok | {:error, :not_running | :not_updatable | Error.t()}
  def update_config(path, value) do
    running(fn -> Server.call({:update_config, path, value}) end)
  end

  @spec status() :: map
  def status do
    Muted.run(fn ->
      case native_status() do
        {:error, :not_running} ->
          Map.merge(library(), %{running: false, node: node(), config: get_config()})

        status ->
          library()
          |> Map.merge(status)
          |> Map.merge(%{
            running: true,
            node: node(),
            config: get_config(),
            instrumentation: Live.status(),
            watches: Watch.all(),
            guard: Guard.status(),
            crashes: Life.Crashes.status()
          })
          |> Map.merge(Tracing.status())
      end
    end)
  end

  defp native_status do
    with true <- Native.running() || {:error, :not_running},
         %{} = status <- Native.status(),
         # One more look, since a stop may come in between.
         offset when is_integer(offset) <- Native.time_offset() do
      %{status | started_at: DateTime.from_unix!(status.started_at + offset, :nanosecond)}
    end
  end

  defp library do
    case Native.load_failure() do
      nil -> %{library: Native.load_info(), terms: Native.term_shapes()}
      failure -> %{library: %{error: Exception.message(failure)}}
    end
  end

  defp running(fun) do
    Muted.run(fn -> if Native.running(), do: fun.(), else: {:error, :not_running} end)
  end
end
