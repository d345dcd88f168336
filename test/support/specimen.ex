defmodule ElixirScopeTest.Specimen do
  @moduledoc "Code for tests to instrument: what is on disk is plain, and nothing else of the tests uses it."

  use GenServer

  def add(a, b), do: a + b
  def twice(x), do: add(x, x)
  def fails(x), do: String.to_integer(x)
  def picky(x) when is_atom(x), do: hidden(x)
  def count_down(0), do: :done
  def count_down(n), do: count_down(n - 1)
  def login(_user, password), do: byte_size(password)

  defp hidden(x), do: {:hidden, x}

  @doc "Waits in the code that it began in."
  def wait do
    receive do
      :stop -> :stopped
    end
  end

  def start_link(state), do: GenServer.start_link(__MODULE__, state)
  def put(server, key, value), do: GenServer.call(server, {:put, key, value})
  def note(server, value), do: GenServer.cast(server, {:note, value})

  @impl true
  def init(state), do: {:ok, state}

  @impl true
  def handle_call({:put, key, value}, _from, state), do: {:reply, :ok, Map.put(state, key, value)}
  def handle_call(:crash, _from, _state), do: raise("crash")

  @impl true
  def handle_cast({:note, value}, state), do: {:noreply, Map.update(state, :notes, [value], &[value | &1])}

  @impl true
  def handle_info(_message, state), do: {:noreply, state}
end
