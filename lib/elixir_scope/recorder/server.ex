defmodule ElixirScope.Recorder.Server do
  @moduledoc false

  # Puts starts, stops and changes of the configuration in one order. It holds nothing: see `ElixirScope.Recorder.InUse`.

  use GenServer

  alias ElixirScope.{Config, Error, Guard, Life, Muted, Native, Patience, Performance, Subscriptions, Watch}
  alias ElixirScope.Recorder.InUse

  @spec start_link(term) :: GenServer.on_start()
  def start_link(_arg), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc "Calls the server. Each request can be repeated, so that a crash in between is waited out."
  @spec call(term) :: term
  def call(request), do: Patience.call(fn -> GenServer.call(__MODULE__, request, :infinity) end)

  @impl true
  def init(nil) do
    Muted.forever()
    {:ok, nil}
  end

  @impl true
  def handle_call({:start, config}, _from, nil) do
    answer =
      case Native.start(Config.to_native(config)) do
        :ok ->
          InUse.put(config)
          if config.crashes, do: Life.Crashes.listen()
          Performance.Monitor.watch()
          Guard.watch()

        {:error, :already_running} ->
          :ok

        {:error, {:memory_limit_too_small, given, least}} ->
          Error.invalid([:storage, :memory_limit], given, "an integer of at least #{least}")

        {:error, reason} ->
          {:error, %Error{reason: reason, details: %{what: "the start of the recorder"}}}
      end

    {:reply, answer, nil}
  end

  def handle_call(:stop, _from, nil) do
    Subscriptions.close_all()
    Watch.Followers.stop_all()
    Life.Crashes.leave()
    if Native.load_failure() == nil, do: Native.stop()
    InUse.forget()
    {:reply, :ok, nil}
  end

  def handle_call({:update_config, path, value}, _from, nil) do
    answer =
      with %{} = config <- InUse.config() || {:error, :not_running},
           {:ok, changed} <- Config.update(config, path, value),
           :ok <- Native.update_config(changes(config, changed)) do
        InUse.put(changed)
        :ok
      end

    {:reply, answer, nil}
  end

  defp changes(config, changed) do
    before = Config.updates_to_native(config)

    for {key, value} <- Config.updates_to_native(changed), before[key] !== value, into: %{} do
      {key, value}
    end
  end
end
