defmodule ElixirScopeTest.Travel.Server do
  @moduledoc "A GenServer that carries out operations on its state, and answers in every shape that there is."
  use GenServer

  alias ElixirScopeTest.Travel.States

  def start_link(state), do: GenServer.start_link(__MODULE__, state)

  @impl true
  def init(state), do: {:ok, state, {:continue, :same}}

  @impl true
  def handle_continue(operation, state), do: {:noreply, States.run(operation, state)}

  @impl true
  def handle_call({shape, operation}, from, state) do
    new = States.run(operation, state)

    case shape do
      :reply -> {:reply, :done, new}
      :reply_timeout -> {:reply, :done, new, 60_000}
      :reply_now -> {:reply, :done, new, 0}
      :reply_hibernate -> {:reply, :done, new, :hibernate}
      {:reply_continue, next} -> {:reply, :done, new, {:continue, next}}
      :noreply -> later(from, new)
      :stop -> {:stop, :normal, :done, new}
      :inner -> {:reply, :done, inner(operation, state)}
    end
  end

  @impl true
  def handle_cast({shape, operation}, state) do
    new = States.run(operation, state)

    case shape do
      :noreply -> {:noreply, new}
      :noreply_hibernate -> {:noreply, new, :hibernate}
      :noreply_timeout -> {:noreply, new, 60_000}
      {:noreply_continue, next} -> {:noreply, new, {:continue, next}}
      :stop -> {:stop, :normal, new}
    end
  end

  @impl true
  def handle_info(:timeout, state), do: {:noreply, state}
  def handle_info({:operation, operation}, state), do: {:noreply, States.run(operation, state)}

  @impl true
  def code_change(_version, state, operation), do: {:ok, States.run(operation, state)}

  defp later(from, state) do
    GenServer.reply(from, :done)
    {:noreply, state}
  end

  # Callbacks that call each other: the outermost alone commits a state.
  defp inner(operation, state) do
    {:noreply, between} = handle_cast({:noreply, operation}, state)
    {:reply, :done, new} = handle_call({:reply, operation}, nil, between)
    new
  end
end

defmodule ElixirScopeTest.Travel.Machine do
  @moduledoc "A gen_statem with one function for all states; the data is the state."
  @behaviour :gen_statem

  alias ElixirScopeTest.Travel.States

  def start_link(state), do: :gen_statem.start_link(__MODULE__, state, [])

  @impl true
  def callback_mode, do: :handle_event_function

  @impl true
  def init(state), do: {:ok, :one, state}

  @impl true
  def handle_event({:call, from}, {shape, operation}, name, data) do
    new = States.run(operation, data)
    reply = {:reply, from, :done}

    case shape do
      :keep -> {:keep_state, new, reply}
      :next -> {:next_state, other(name), new, [reply]}
      :repeat -> {:repeat_state, new, [reply]}
      :event -> {:keep_state, new, [reply, {:next_event, :internal, {:again, operation}}]}
    end
  end

  def handle_event(:internal, {:again, operation}, name, data),
    do: {:next_state, other(name), States.run(operation, data)}

  def handle_event(:info, {:operation, operation}, _name, data),
    do: {:keep_state, States.run(operation, data)}

  defp other(:one), do: {:two, 2}
  defp other({:two, 2}), do: :one
end

defmodule ElixirScopeTest.Travel.Functions do
  @moduledoc "A gen_statem with one function to each state."
  @behaviour :gen_statem

  alias ElixirScopeTest.Travel.States

  def start_link(state), do: :gen_statem.start_link(__MODULE__, state, [])

  @impl true
  def callback_mode, do: :state_functions

  @impl true
  def init(state), do: {:ok, :one, state}

  def one({:call, from}, {shape, operation}, data) do
    new = States.run(operation, data)

    case shape do
      :next -> {:next_state, :two, new, [{:reply, from, :done}]}
      _stay -> {:keep_state, new, {:reply, from, :done}}
    end
  end

  def one(:info, {:operation, operation}, data), do: {:next_state, :two, States.run(operation, data)}

  def two({:call, from}, {_shape, operation}, data),
    do: {:next_state, :one, States.run(operation, data), [{:reply, from, :done}]}

  def two(:info, {:operation, operation}, data), do: {:keep_state, States.run(operation, data)}
end

defmodule ElixirScopeTest.Travel.Loop do
  @moduledoc "A plain loop whose state is its second argument."

  alias ElixirScopeTest.Travel.States

  def start_link(state), do: {:ok, spawn_link(__MODULE__, :loop, [0, state])}

  def loop(round, state) do
    receive do
      {:operation, operation} ->
        loop(round + 1, States.run(operation, state))

      {:get, from, ref} ->
        send(from, {ref, state})
        loop(round, state)

      :stop ->
        :stopped
    end
  end
end
