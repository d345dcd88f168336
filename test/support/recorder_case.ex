defmodule ElixirScope.Test.RecorderCase do
  @moduledoc """
  For tests with a running recorder of their own, started with the options of the tag `:recorder`.

  `@tag recorder: false` leaves it stopped. There is one recorder in a node, so that these tests are never `async`.
  """

  use ExUnit.CaseTemplate

  using do
    quote do
      import ElixirScope.Test.RecorderCase
      import ElixirScope.Test.Wait

      require ElixirScope.Trace, as: Trace

      alias ElixirScope.Events
    end
  end

  setup tags do
    {:ok, _apps} = Application.ensure_all_started(:elixir_scope)
    :ok = ElixirScope.stop()

    case Map.get(tags, :recorder, []) do
      false -> :ok
      opts -> :ok = ElixirScope.start(opts)
    end

    on_exit(fn ->
      {:ok, _apps} = Application.ensure_all_started(:elixir_scope)
      :ok = ElixirScope.stop()
    end)
  end

  @doc "All events on the tape, oldest first."
  def all_events(opts \\ []), do: ElixirScope.get_events([limit: :infinity] ++ opts)

  @doc "The one event of the calling process that matches."
  def the_event(opts \\ []) do
    [event] = ElixirScope.get_events([pid: self()] ++ opts)
    event
  end

  @doc "A process that runs `fun` again and again, counting in `counter`, until it is told to end."
  def start_load(fun, counter \\ :counters.new(1, [])) do
    pid = spawn_link(fn -> load(fun, counter) end)
    {pid, counter}
  end

  def stop_load({pid, _counter}) do
    Process.unlink(pid)
    Process.exit(pid, :kill)
    ElixirScope.Test.Wait.until_dead(pid)
  end

  defp load(fun, counter) do
    fun.()
    :counters.add(counter, 1, 1)
    load(fun, counter)
  end

  @doc "How often the function of a load has run."
  def rounds({_pid, counter}), do: :counters.get(counter, 1)

  @doc "Waits until the function of a load has begun and ended once more."
  def next_round(load) do
    now = rounds(load)
    ElixirScope.Test.Wait.until(fn -> rounds(load) >= now + 2 end, "a round of the load")
  end

  @doc "A message of an error, which is known to be one."
  def message_of({:error, %ElixirScope.Error{} = error}), do: Exception.message(error)

  @doc "Runs `fun` with environment variables set, and puts them back."
  def with_env(variables, fun) do
    before = Map.new(variables, fn {name, _value} -> {name, System.get_env(name)} end)
    System.put_env(variables)

    try do
      fun.()
    after
      for {name, value} <- before do
        if value, do: System.put_env(name, value), else: System.delete_env(name)
      end
    end
  end
end
