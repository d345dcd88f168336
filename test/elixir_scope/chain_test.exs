defmodule ElixirScope.ChainTest do
  use ElixirScope.Test.RecorderCase

  import Bitwise, only: [<<<: 2]
  import ElixirScope.Test.Flows

  alias ElixirScopeTest.Specimen

  defp kinds(events), do: Enum.map(events, &{&1.event_type, Map.get(&1, :function) || Map.get(&1, :message)})

  defp in_order(events), do: assert(Enum.map(events, & &1.id) == events |> Enum.map(& &1.id) |> Enum.sort())

  describe "with instrumented code" do
    setup do
      :ok = ElixirScope.instrument(Specimen)

      on_exit(fn ->
        ElixirScope.start()
        ElixirScope.uninstrument(Specimen)
        ElixirScope.stop()
        :code.soft_purge(Specimen)
      end)
    end

    test "what a server did goes back to the call that made it do so, and that leads to it" do
      {:ok, server} = Specimen.start_link(%{})
      Trace.span("order", nil, do: Specimen.put(server, :cart, 7))
      [put] = all_events(function: :put, event_type: :function_entry)
      [change] = all_events(pid: server, event_type: :state_change, function: :handle_call)

      causes = ElixirScope.trace_causes(change.id)

      assert [
               span_start: nil,
               function_entry: :put,
               message_send: {:put, :cart, 7},
               function_entry: :handle_call
             ] = kinds(causes)

      [order | _] = causes
      assert order.name == "order"
      effects = ElixirScope.trace_effects(order.id)
      in_order(effects)
      assert Enum.map(tl(causes), & &1.id) -- Enum.map(effects, & &1.id) == []
      assert change.id in Enum.map(effects, & &1.id)
      assert %{event_type: :span_stop} = List.last(effects)
      assert ElixirScope.trace_effects(order.id, limit: 2) == Enum.take(effects, 2)
      assert ElixirScope.trace_causes(change.id, limit: 2) == Enum.take(causes, -2)
      refute Enum.any?(ElixirScope.trace_effects(put.id), &(&1.event_type == :span_stop))
    end

    test "the calls of a chain of tail calls lead to each other" do
      Specimen.twice(4)
      [twice] = all_events(function: :twice, event_type: :function_entry)
      [add] = all_events(function: :add, event_type: :function_entry)
      assert [_exit, %{function: :add}, %{function: :add}] = ElixirScope.trace_effects(twice.id)
      assert [%{function: :twice} | _] = ElixirScope.trace_causes(add.id)
    end

    test "with a trace as well, arrivals and answers are steps of the chain" do
      {:ok, server} = Specimen.start_link(%{})
      me = self()
      traced([server, me], fn -> Trace.span("order", nil, do: Specimen.put(server, :cart, 7)) end)
      [order] = all_events(event_type: :span_start)
      effects = ElixirScope.trace_effects(order.id)
      in_order(effects)

      assert %{message_send: 2, message_receive: 2, function_entry: 2, function_exit: 2, state_change: 1} =
               Enum.frequencies_by(effects, & &1.event_type)

      arrived = Enum.find(effects, &(&1.event_type == :message_receive and &1.pid == me))

      # The function has ended in a tail call when the VM sends.
      assert [:span_start, :message_send, :message_receive, :message_send] =
               arrived.id |> ElixirScope.trace_causes() |> Enum.map(& &1.event_type)
    end
  end

  test "of processes that are traced alone, births, messages and deaths lead to each other" do
    me = self()

    {child, grandchild} =
      traced([me], fn ->
        child =
          spawn(fn ->
            grandchild = spawn(fn -> receive do: (:end -> exit(:over)) end)
            Process.monitor(grandchild)
            send(me, {:grandchild, grandchild})
            send(grandchild, :end)

            receive do
              {:DOWN, _, _, _, :over} -> send(me, :down)
            end
          end)

        receive do
          {:grandchild, grandchild} ->
            receive do: (:down -> {child, grandchild})
        end
      end)

    until_dead(child)
    [born] = all_events(event_type: :process_spawn, where: [{[:spawned_pid], :==, child}])
    effects = ElixirScope.trace_effects(born.id)
    in_order(effects)

    assert [
             process_spawn: :apply,
             message_send: {:grandchild, ^grandchild},
             message_send: :end
           ] = effects |> Enum.filter(&(&1.pid == child)) |> kinds() |> Enum.take(3)

    [exit] = all_events(event_type: :process_exit, pid: grandchild)

    assert [%{event_type: :message_receive, pid: ^child, message: {:DOWN, _, _, _, :over}}] =
             ElixirScope.trace_effects(exit.id)

    [down] = all_events(event_type: :message_receive, pid: child)
    assert exit.id in Enum.map(ElixirScope.trace_causes(down.id), & &1.id)

    [got] =
      all_events(event_type: :message_receive, pid: me, where: [{[:message], :==, {:grandchild, grandchild}}])

    assert [%{spawned_pid: ^child}, %{message: {:grandchild, ^grandchild}}] = ElixirScope.trace_causes(got.id)
  end

  test "an event that is not on the tape, and arguments that are none" do
    assert {:error, %ElixirScope.Error{reason: {:no_event, 77}}} = ElixirScope.trace_causes(77)
    assert {:error, %ElixirScope.Error{reason: {:no_event, _}}} = ElixirScope.trace_effects(1 <<< 80)

    for {id, opts, key} <- [
          {0, [], :event_id},
          {:x, [], :event_id},
          {1, [limit: 0], :limit},
          {1, [pid: self()], :pid}
        ] do
      assert {:error, %ElixirScope.Error{reason: {:invalid_option, ^key, _, _}}} =
               ElixirScope.trace_causes(id, opts)

      assert {:error, %ElixirScope.Error{reason: {:invalid_option, ^key, _, _}}} =
               ElixirScope.trace_effects(id, opts)
    end

    ElixirScope.stop()
    assert ElixirScope.trace_causes(1) == {:error, :not_running}
  end
end
