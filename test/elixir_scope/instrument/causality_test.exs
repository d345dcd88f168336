defmodule ElixirScope.Instrument.CausalityTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScopeTest.Specimen

  setup do
    on_exit(fn ->
      ElixirScope.start()
      ElixirScope.uninstrument(Specimen)
      ElixirScope.stop()
      :code.soft_purge(Specimen)
    end)
  end

  test "a server's calls and its birth go back to the calls that led to them" do
    :ok = ElixirScope.instrument(Specimen)
    {:ok, server} = Specimen.start_link(%{})
    :ok = Specimen.put(server, :cart, 7)
    :ok = Specimen.note(server, :seen)

    until(
      fn -> ElixirScope.count_events(function: :handle_cast, event_type: :function_exit) == 1 end,
      "the end of the callback"
    )

    root = fn function, pid ->
      [entry] = all_events(event_type: :function_entry, function: function, pid: pid)
      entry.correlation_id
    end

    for {function, callback} <- [start_link: :init, put: :handle_call, note: :handle_cast] do
      assert root.(function, self()) == root.(callback, server)

      functions =
        [correlation_id: root.(function, self()), event_type: :function_exit]
        |> all_events()
        |> Enum.map(& &1.function)

      assert Enum.sort(functions) == Enum.sort([function, callback])
    end

    states = all_events(pid: server, event_type: :state_change)

    assert Enum.map(states, & &1.correlation_id) ==
             for({f, _} <- [start_link: 1, put: 1, note: 1], do: root.(f, self()))
  end

  test "each call of a loop shows what the loop came to, and they have one cause" do
    :ok = ElixirScope.instrument(Specimen)
    assert Specimen.count_down(2_000) == :done
    events = all_events(function: :count_down)
    assert length(events) == 4_002
    assert [_] = events |> Enum.map(& &1.correlation_id) |> Enum.uniq()

    {tails, [last]} =
      events
      |> Enum.filter(&(&1.event_type == :function_exit))
      |> Enum.split_with(&(&1.exit_reason == :tail_call))

    assert Enum.all?([last | tails], &(&1.result == :done and &1.duration_ns >= last.duration_ns))
  end

  @tag capture_log: true
  test "what a supervisor restarts does not go back to the start of the supervisor" do
    Code.compile_string("""
    defmodule RestartedSpecimen do
      use GenServer
      use ElixirScope.Instrument
      def start_link(name), do: GenServer.start_link(__MODULE__, name, name: name)
      def init(name), do: {:ok, name, {:continue, :ready}}
      def handle_continue(:ready, name), do: {:noreply, name}
    end

    defmodule RestartingSpecimen do
      use Supervisor
      use ElixirScope.Instrument
      def start_link(name), do: Supervisor.start_link(__MODULE__, name)
      def init(name), do: Supervisor.init([{RestartedSpecimen, name}], strategy: :one_for_one)
    end
    """)

    modules = [RestartedSpecimen, RestartingSpecimen]
    {:ok, supervisor} = apply(RestartingSpecimen, :start_link, [:restarted])

    entries = fn ->
      all_events(event_type: :function_entry, module: RestartedSpecimen, function: :handle_continue)
    end

    until(fn -> length(entries.()) == 1 end, "the first start")
    Process.exit(Process.whereis(:restarted), :kill)
    until(fn -> length(entries.()) == 2 end, "the restart")

    [boot] = all_events(event_type: :function_entry, module: RestartingSpecimen, function: :start_link)
    [first, again] = entries.()
    assert first.correlation_id == boot.correlation_id
    refute again.correlation_id == boot.correlation_id

    assert [:start_link, :init, :handle_continue] =
             for(
               %{event_type: :function_entry, function: function} <-
                 all_events(correlation_id: again.correlation_id),
               do: function
             )

    Supervisor.stop(supervisor)
    ElixirScope.uninstrument(modules)
    for module <- modules, do: :code.delete(module) && :code.purge(module)
  end
end
