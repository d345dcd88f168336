defmodule ElixirScope.Life.Teller do
  @moduledoc false

  # Tells on the tape, a second later and by one event, how many crashes were left out since they were too many.

  use GenServer

  alias ElixirScope.{Muted, Native}

  @every_ms 1_000

  @spec start_link(term) :: GenServer.on_start()
  def start_link(_arg), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc "A crash was left out; `rate` were recorded in that second."
  @spec skipped(pos_integer) :: :ok
  def skipped(rate) do
    counters = :persistent_term.get(__MODULE__)
    # one message, however many there are
    if :atomics.add_get(counters, 1, 1) == 1, do: send(__MODULE__, {:skipped, rate})
    :ok
  end

  @impl true
  def init(nil) do
    Muted.forever()

    case :persistent_term.get(__MODULE__, nil) do
      nil -> :persistent_term.put(__MODULE__, :atomics.new(1, []))
      # what a dead one was to tell
      counters -> :atomics.put(counters, 1, 0)
    end

    {:ok, nil}
  end

  @impl true
  def handle_info({:skipped, rate}, nil) do
    Process.send_after(self(), {:tell, rate}, @every_ms)
    {:noreply, nil}
  end

  def handle_info({:tell, rate}, nil) do
    skipped = :atomics.exchange(:persistent_term.get(__MODULE__), 1, 0)
    Native.trace_note(:skipped, :crashes, %{rate: rate, skipped: skipped}, :rate)
    {:noreply, nil}
  end
end
