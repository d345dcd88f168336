defmodule ElixirScopeTest.Mortals do
  @moduledoc "Processes that end in all the ways that there are."

  defmodule Server do
    @moduledoc false
    use GenServer

    def start_link(opts \\ []) do
      GenServer.start_link(__MODULE__, Keyword.get(opts, :state, %{count: 1}), Keyword.take(opts, [:name]))
    end

    @impl true
    def init({:fail, reason}), do: {:stop, reason}
    def init(state), do: {:ok, state}

    @impl true
    def handle_call(:raise, _from, _state), do: raise(ArgumentError, "at work")
    def handle_call({:link, pid}, _from, state), do: {:reply, Process.link(pid), state}
    def handle_call(:trap, _from, state), do: {:reply, Process.flag(:trap_exit, true), state}
    def handle_call(:state, _from, state), do: {:reply, state, state}

    @impl true
    def handle_cast({:exit, reason}, _state), do: exit(reason)
    def handle_cast({:stop, reason}, state), do: {:stop, reason, state}
    def handle_cast({:put, key, value}, state), do: {:noreply, Map.put(state, key, value)}
    def handle_cast({:call, other, message}, state), do: {:noreply, {GenServer.call(other, message), state}}

    @impl true
    def handle_info({:EXIT, _pid, _reason}, state), do: {:noreply, state}
  end

  defmodule Machine do
    @moduledoc false
    @behaviour :gen_statem

    def start_link, do: :gen_statem.start_link(__MODULE__, nil, [])

    @impl true
    def callback_mode, do: :handle_event_function

    @impl true
    def init(nil), do: {:ok, :open, %{turns: 3}}

    @impl true
    def handle_event(:cast, {:exit, reason}, _state, _data), do: exit(reason)
    def handle_event(:cast, :raise, _state, _data), do: raise("out of order")
  end

  defmodule Handler do
    @moduledoc false
    @behaviour :gen_event

    @impl true
    def init(nil), do: {:ok, nil}

    @impl true
    def handle_event(:fail, nil), do: raise("in a handler")

    @impl true
    def handle_call(_request, nil), do: {:ok, nil, nil}
  end

  @doc "A child specification of `Server`."
  def child(opts, more \\ []) do
    Map.merge(%{id: opts[:name] || Server, start: {Server, :start_link, [opts]}}, Map.new(more))
  end

  @doc "Starts a supervisor that is not linked to the caller."
  def supervise(children, opts \\ []) do
    {:ok, supervisor} =
      Supervisor.start_link(children, Keyword.merge([strategy: :one_for_one, max_restarts: 100], opts))

    Process.unlink(supervisor)
    ExUnit.Callbacks.on_exit(fn -> stop(supervisor) end)
    supervisor
  end

  defp stop(supervisor) do
    Supervisor.stop(supervisor)
  catch
    :exit, _gone -> :ok
  end

  @doc "Starts a server that is not linked to the caller."
  def server(opts \\ []) do
    {:ok, pid} = Server.start_link(opts)
    Process.unlink(pid)
    pid
  end
end
