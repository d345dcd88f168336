defmodule ElixirScope.InstrumentedEnumTest do
  use ExUnit.Case, async: true

  alias ElixirScope.Test.OwnNode

  # In a node of its own, since it replaces Enum: each clause of each function records its name first.
  @instrument """
  {:ok, {_, [debug_info: {:debug_info_v1, backend, data}]}} =
    :beam_lib.chunks(:code.which(Enum), [:debug_info])

  {:ok, forms} = backend.debug_info(:erlang_v1, Enum, data, [])

  record = fn name, line ->
    {:call, line, {:remote, line, {:atom, line, ElixirScope.Native}, {:atom, line, :event}},
     [{:atom, line, nil}, {:atom, line, :enum}, {:atom, line, name}]}
  end

  forms =
    for form <- forms do
      case form do
        {:function, at, name, arity, clauses} ->
          clauses =
            for {:clause, line, head, guards, body} <- clauses,
                do: {:clause, line, head, guards, [record.(name, line) | body]}

          {:function, at, name, arity, clauses}

        other ->
          other
      end
    end

  {:ok, Enum, beam} = :compile.forms(forms, [:nowarn_unused_vars])
  :code.unstick_dir(:filename.dirname(:code.which(Enum)))
  {:module, Enum} = :code.load_binary(Enum, :code.which(Enum), beam)
  """

  test "our own work leaves no event while Enum is instrumented" do
    script = """
    {:ok, _} = Application.ensure_all_started(:elixir_scope)
    :ok = ElixirScope.start()
    #{@instrument}
    recorded = fn -> ElixirScope.count_events(where: [{[:name], :==, :enum}]) end

    {:ok, ref} = ElixirScope.subscribe_to_events(event_type: :user_event, where: [{[:name], :==, :heard}])
    spawn(fn -> ElixirScope.Native.event(nil, :heard, 1) end)
    receive do: ({:elixir_scope_event, %{name: :heard}} -> :ok)
    :ok = ElixirScope.unsubscribe(ref)

    %{} = ElixirScope.status()
    %{} = ElixirScope.get_config()
    %{} = ElixirScope.Performance.Monitor.get_metrics()
    [_ | _] = ElixirScope.get_events(event_type: [:user_event, :span_start], limit: 5)
    {:error, %{}} = ElixirScope.get_events(event_type: [:no_such_type], where: [{[:name], :like, 1}])
    %{} = ElixirScope.Query.Engine.explain(module: Enum)
    :ok = ElixirScope.update_config([:sampling_rate], 0.5)
    {:ok, store} = ElixirScope.Storage.EventStore.start_link()
    :ok = ElixirScope.Storage.EventStore.store_events(store, ElixirScope.get_events())
    {:ok, _} = ElixirScope.Storage.EventStore.query_events(store, limit: 3)
    {:ok, ring} = ElixirScope.Capture.RingBuffer.new(size: 8)
    :ok = ElixirScope.Capture.RingBuffer.write(ring, :term)

    ours = recorded.()
    Enum.map([1, 2], & &1)
    IO.puts("ours \#{ours}, the program's own \#{recorded.()}")
    """

    {output, status} = OwnNode.run(script)
    assert status == 0, output
    assert [_, ours, others] = Regex.run(~r/ours (\d+), the program's own (\d+)/, output)
    assert {String.to_integer(ours), String.to_integer(others) > 0} == {0, true}
  end
end
