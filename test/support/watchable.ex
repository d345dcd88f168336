defmodule ElixirScopeTest.Watchable do
  @moduledoc "Processes of every behaviour for tests to watch; none of them is instrumented."

  defmodule Counter do
    @moduledoc "Adds what it is told to; answers calls, takes casts and messages."
    use GenServer

    def start_link(n), do: GenServer.start_link(__MODULE__, n)

    @impl true
    def init(n), do: {:ok, n}

    @impl true
    def handle_call({:add, n}, _from, sum), do: {:reply, sum + n, sum + n}
    def handle_call(:get, _from, sum), do: {:reply, sum, sum}
    def handle_call({:hold, from, ms}, _from, sum), do: hold(from, ms, sum)

    @impl true
    def handle_cast({:add, n}, sum), do: {:noreply, sum + n}
    def handle_cast(:crash, _sum), do: exit(:crash)

    @impl true
    def handle_info({:add, n}, sum), do: {:noreply, sum + n, :hibernate}
    def handle_info({:later, n}, sum), do: {:noreply, sum, {:continue, {:add, n}}}

    @impl true
    def handle_continue({:add, n}, sum), do: {:noreply, sum + n}

    # Tells that it is busy, and is so until it is let go.
    defp hold(from, ms, sum) do
      send(from, {:busy, self()})

      receive do
        :let_go -> :ok
      after
        ms -> :ok
      end

      {:reply, :held, sum}
    end
  end

  defmodule Door do
    @moduledoc "A state machine; its data counts how often it was opened."
    @behaviour :gen_statem

    def start_link, do: :gen_statem.start_link(__MODULE__, nil, [])

    @impl true
    def callback_mode, do: :handle_event_function

    @impl true
    def init(nil), do: {:ok, :closed, %{opened: 0}}

    @impl true
    def handle_event({:call, from}, :open, :closed, data),
      do: {:next_state, :open, Map.update!(data, :opened, &(&1 + 1)), [{:reply, from, :ok}]}

    def handle_event({:call, from}, :close, _state, data),
      do: {:next_state, :closed, data, [{:reply, from, :ok}]}

    def handle_event({:call, from}, :knock, _state, _data), do: {:keep_state_and_data, [{:reply, from, :ok}]}
  end

  defmodule Handler do
    @moduledoc "Of an event manager; keeps the events."
    @behaviour :gen_event

    @impl true
    def init(_arg), do: {:ok, []}

    @impl true
    def handle_event(event, events), do: {:ok, [event | events]}

    @impl true
    def handle_call(:get, events), do: {:ok, events, events}
  end

  @doc "A loop that takes everything, and tells its starter what it took."
  def loop(starter) do
    receive do
      message -> send(starter, {:took, message})
    end

    loop(starter)
  end

  @doc "The debug functions of a process."
  def debug_functions(pid) do
    {:status, ^pid, {:module, _module}, [_dictionary, _state, _parent, debug, _misc]} = :sys.get_status(pid)
    debug
  end
end
