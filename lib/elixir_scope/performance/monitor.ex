defmodule ElixirScope.Performance.Monitor do
  @moduledoc """
  What recording did and cost over the last minute.

  For a dashboard, or a look from the shell; `ElixirScope.status/0` tells the same since the start.

      iex> ElixirScope.start()
      iex> metrics = ElixirScope.Performance.Monitor.get_metrics()
      iex> metrics.events >= 0 and metrics.window_ms <= 61_000
      true
  """

  use GenServer

  alias ElixirScope.{Error, Muted, Native, Patience}

  # One sample a second, for a minute.
  @every_ms 1_000
  @samples 60

  @typedoc """
  Figures of a window of time that ends now, a minute long at most.

    * `window_ms`: how long it is
    * `events`, `events_per_second`: recorded in it
    * `lost`, `lost_per_second`: lost in it, whatever the cause
    * `evicted`: events that left the store, for its limits
    * `cpu_share`: of one core, taken by our own native threads
    * `capture_ns`: nanoseconds per captured event, sampled; `nil` where nothing was
    * `ring_bytes`, `store_bytes`: in use now
    * `store_events`: on the tape now
  """
  @type metrics :: %{
          window_ms: non_neg_integer,
          events: non_neg_integer,
          events_per_second: float,
          lost: non_neg_integer,
          lost_per_second: float,
          evicted: non_neg_integer,
          cpu_share: float,
          capture_ns: number | nil,
          ring_bytes: non_neg_integer,
          store_bytes: non_neg_integer,
          store_events: non_neg_integer
        }

  @doc "The figures of the last minute, or of the time since the start where that is shorter."
  @spec get_metrics() :: metrics | {:error, :not_running | Error.t()}
  def get_metrics do
    Muted.run(fn ->
      if Native.running(),
        do: Patience.call(fn -> GenServer.call(__MODULE__, :metrics) end),
        else: {:error, :not_running}
    end)
  end

  @doc false
  @spec start_link(term) :: GenServer.on_start()
  def start_link(_arg), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc false
  # The recorder has been started: what was seen of the one before is void.
  @spec watch() :: :ok
  def watch, do: GenServer.cast(__MODULE__, :watch)

  # -- The process: idle until the recorder runs --------------------------------------------------------------------------

  @impl true
  def init(nil) do
    Muted.forever()
    {:ok, tick(%{samples: [], timer: nil})}
  end

  @impl true
  def handle_cast(:watch, state) do
    if state.timer, do: Process.cancel_timer(state.timer)
    {:noreply, tick(%{samples: [], timer: nil})}
  end

  @impl true
  def handle_info(:tick, state), do: {:noreply, tick(state)}
  def handle_info(_other, state), do: {:noreply, state}

  @impl true
  def handle_call(:metrics, _from, state) do
    case sample() do
      nil -> {:reply, {:error, :not_running}, state}
      now -> {:reply, metrics(now, List.last(state.samples) || begin(now)), state}
    end
  end

  defp tick(state) do
    case sample() do
      nil ->
        %{samples: [], timer: nil}

      sample ->
        timer = Process.send_after(self(), :tick, @every_ms)
        %{state | samples: Enum.take([sample | state.samples], @samples), timer: timer}
    end
  end

  defp sample do
    with true <- Native.running(),
         %{} = status <- Native.status() do
      %{
        at_ms: System.monotonic_time(:millisecond),
        started_at_ms: div(status.started_at, 1_000_000),
        events: status.capture.events,
        lost: status.capture.lost |> Map.values() |> Enum.sum(),
        evicted: status.store.evicted,
        cpu_ns: status.overhead.cpu_ns,
        capture_ns: status.overhead.capture_ns,
        ring_bytes: status.capture.bytes,
        store_bytes: status.store.bytes |> Map.values() |> Enum.sum(),
        store_events: status.store.events
      }
    else
      _not_running -> nil
    end
  end

  # Before the first sample: the start of the recorder, when all was 0.
  defp begin(now),
    do: %{now | at_ms: min(now.started_at_ms, now.at_ms), events: 0, lost: 0, evicted: 0, cpu_ns: 0}

  defp metrics(now, from) do
    window_ms = now.at_ms - from.at_ms
    seconds = max(window_ms, 1) / 1_000

    %{
      window_ms: window_ms,
      events: now.events - from.events,
      events_per_second: (now.events - from.events) / seconds,
      lost: now.lost - from.lost,
      lost_per_second: (now.lost - from.lost) / seconds,
      evicted: now.evicted - from.evicted,
      cpu_share: (now.cpu_ns - from.cpu_ns) / (seconds * 1.0e9),
      capture_ns: now.capture_ns,
      ring_bytes: now.ring_bytes,
      store_bytes: now.store_bytes,
      store_events: now.store_events
    }
  end
end
