defmodule ElixirScope.TraceTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.Test.Marks

  doctest ElixirScope.Trace

  describe "event/2" do
    test "records the name and the data, with where, when and who" do
      before = System.system_time(:nanosecond)
      assert Trace.event(:cache_miss, %{key: "ann"}) == :ok

      event = the_event()
      assert %Events.UserEvent{event_type: :user_event, name: :cache_miss, data: %{key: "ann"}} = event
      assert event.pid == self()
      assert event.node == node()
      assert event.correlation_id == nil and event.parent_id == nil
      assert_in_delta event.wall_time, before, 5_000_000_000
      assert event.wall_time - event.timestamp == ElixirScope.Native.time_offset()
    end

    test "takes a name alone" do
      Trace.event("started")
      assert %Events.UserEvent{name: "started", data: nil} = the_event()
    end

    test "works in any process without set-up" do
      pid = spawn(fn -> Trace.event(:from_afar, nil) end)
      until_dead(pid)
      assert [%Events.UserEvent{name: :from_afar}] = ElixirScope.get_events(pid: pid)
    end

    test "evaluates its arguments once while recording" do
      Trace.event(tell(:name), tell(:data))
      assert_received :name
      assert_received :data
      refute_received _more
      assert %{name: :name, data: :data} = the_event()
    end

    @tag recorder: false
    test "does not evaluate its arguments while nothing is recorded" do
      assert Trace.event(tell(:name), tell(:data)) == :ok
      refute_received _any
    end

    test "does not evaluate its arguments while paused" do
      ElixirScope.pause()
      assert Trace.event(tell(:name), tell(:data)) == :ok
      refute_received _any
    end
  end

  describe "metric/3" do
    test "records name, value, unit and metadata" do
      assert Trace.metric("queue.depth", 17, unit: :count, metadata: %{queue: :mail}) == :ok

      assert %Events.PerformanceMetric{
               metric_name: "queue.depth",
               value: 17,
               unit: :count,
               metadata: %{queue: :mail}
             } = the_event()
    end

    test "takes a name and a value alone" do
      Trace.metric("load", 0.5)
      assert %Events.PerformanceMetric{value: 0.5, unit: nil, metadata: nil} = the_event()
    end

    test "takes options that are known only at run time, and never fails for them" do
      for opts <- [
            [],
            [unit: :ms],
            [metadata: 1],
            [unit: :ms, metadata: 1],
            [metadata: 1, unit: :ms],
            :odd,
            [1 | 2]
          ] do
        assert Trace.metric("m", 1, opts) == :ok
      end

      assert for(event <- ElixirScope.get_events(pid: self()), do: {event.unit, event.metadata}) ==
               [{nil, nil}, {:ms, nil}, {nil, 1}, {:ms, 1}, {:ms, 1}, {nil, :odd}, {nil, [1 | 2]}]
    end

    test "refuses unknown options when the code is compiled" do
      code = "require ElixirScope.Trace; ElixirScope.Trace.metric(:m, 1, units: :ms)"

      assert_raise ArgumentError, ~r/expects the options :unit and :metadata, got: \[units: :ms\]/, fn ->
        Code.eval_string(code)
      end
    end
  end

  describe "snapshot/0" do
    test "records the local variables and the place" do
      assert Marks.snapshot(1, [2, 3]) == 3

      assert %Events.VariableAssignment{
               module: Marks,
               function: :snapshot,
               line: line,
               bindings: %{first: 1, second: 2, third: 3, _rest: [3]}
             } = the_event()

      assert is_integer(line) and line > 0
    end

    test "records no variables where there are none" do
      assert Marks.snapshot_of_nothing() == :ok
      assert the_event().bindings == %{}
    end
  end

  describe "span/3" do
    test "evaluates to what its block evaluates to" do
      assert (Trace.span "sum", %{of: 2} do
                1 + 2
              end) == 3

      assert (Trace.span "alone" do
                :done
              end) == :done
    end

    test "records begin and end under one call id, with the time between" do
      Trace.span "work", %{id: 7} do
        :erlang.yield()
      end

      assert [start, stop] = ElixirScope.get_events(pid: self())
      assert %Events.Span{event_type: :span_start, name: "work", metadata: %{id: 7}} = start
      assert %Events.Span{event_type: :span_stop, name: "work", exit_reason: :normal} = stop
      assert start.call_id == start.id and stop.call_id == start.id
      assert stop.duration_ns == stop.timestamp - start.timestamp
    end

    test "is the parent of what happens inside, and its causal root" do
      Trace.span "outer" do
        Trace.event(:in_outer, nil)

        Trace.span "inner" do
          Trace.event(:in_inner, nil)
        end

        Trace.event(:again_in_outer, nil)
      end

      Trace.event(:outside, nil)

      assert [outer, in_outer, inner, in_inner, inner_stop, again, outer_stop, outside] =
               ElixirScope.get_events(pid: self())

      assert outer.parent_id == nil
      assert in_outer.parent_id == outer.id
      assert inner.parent_id == outer.id
      assert in_inner.parent_id == inner.id
      assert inner_stop.call_id == inner.id
      assert again.parent_id == outer.id
      assert outer_stop.call_id == outer.id
      assert outside.parent_id == nil and outside.correlation_id == nil

      roots = Enum.map([outer, in_outer, inner, in_inner, inner_stop, again, outer_stop], & &1.correlation_id)
      assert [root] = Enum.uniq(roots)
      assert is_integer(root)
      assert length(ElixirScope.get_events(correlation_id: root)) == 7
    end

    test "leaves errors, throws and exits unchanged, with their stack traces, and records them" do
      for fun <- [
            fn -> raise ArgumentError, "odd" end,
            fn -> :erlang.error(:not_an_exception) end,
            fn -> throw({:ball, 1}) end,
            fn -> exit(:enough) end,
            fn -> exit({:shutdown, 1}) end,
            fn -> String.to_integer(Process.get(:no_such_key, "seven")) end,
            fn -> apply(__MODULE__, :no_such_function, [1]) end
          ] do
        {class, reason, stacktrace} = outcome(fn -> Marks.plain(fun) end)
        {spanned_class, spanned_reason, spanned_stacktrace} = outcome(fn -> Marks.spanned(fun) end)

        assert {spanned_class, spanned_reason} == {class, reason}

        # The same frames, but for the function that holds the span.
        assert frames(spanned_stacktrace) == frames(stacktrace)

        stop = Enum.find(ElixirScope.get_events(order: :desc), &(&1.event_type == :span_stop))
        assert {^class, ^reason, recorded} = stop.exit_reason
        assert frames(recorded) == frames(stacktrace)
      end
    end

    for recorder <- [[], false] do
      @tag recorder: recorder
      test "evaluates its block exactly once, with the recorder #{if recorder, do: "on", else: "off"}" do
        Trace.span "once" do
          send(self(), :evaluated)
        end

        assert_received :evaluated
        refute_received _again

        assert catch_throw(
                 Trace.span "once" do
                   send(self(), :evaluated)
                   throw(:out)
                 end
               ) == :out

        assert_received :evaluated
        refute_received _again
      end
    end

    test "evaluates name and metadata once while recording" do
      Trace.span tell("name"), tell(:metadata) do
        :ok
      end

      assert_received "name"
      assert_received :metadata
      refute_received _more
    end

    @tag recorder: false
    test "does not evaluate name and metadata while nothing is recorded" do
      Trace.span tell("name"), tell(:metadata) do
        :ok
      end

      refute_received _any
    end

    test "keeps out of the variables around it" do
      token = 1
      name = 2
      result = 3

      value =
        Trace.span "hygiene" do
          token + name + result
        end

      assert value == 6
      assert {token, name, result} == {1, 2, 3}
    end

    test "stands a stop and a new start of the recorder inside its block" do
      Trace.span "cut off" do
        :ok = ElixirScope.stop()
      end

      Trace.span "begun in the dark" do
        :ok = ElixirScope.start()
        Trace.event(:inside, nil)
      end

      Trace.span "whole" do
        Trace.event(:inside, nil)
      end

      events = ElixirScope.get_events(pid: self())
      assert [start] = Enum.filter(events, &(&1.event_type == :span_start))
      assert start.name == "whole" and start.parent_id == nil
      assert [stop] = Enum.filter(events, &match?(%{event_type: :span_stop, name: "whole"}, &1))
      assert stop.call_id == start.id
      assert [_, %{parent_id: parent}] = Enum.filter(events, &(&1.event_type == :user_event))
      assert parent == start.id
    end

    test "stands a block that kills its process" do
      pid =
        spawn(fn ->
          Trace.span "fatal" do
            Process.exit(self(), :kill)
          end
        end)

      until_dead(pid)
      assert [%{event_type: :span_start}] = ElixirScope.get_events(pid: pid)
    end

    test "refuses what is no do block when the code is compiled" do
      code = ~s|require ElixirScope.Trace; ElixirScope.Trace.span("name", %{}, 1)|

      assert_raise ArgumentError, ~r/expects a name, optional metadata and a do block/, fn ->
        Code.eval_string(code)
      end
    end
  end

  defp tell(term) do
    send(self(), term)
    term
  end

  defp outcome(fun) do
    fun.()
  catch
    class, reason -> {class, reason, __STACKTRACE__}
  end

  # Module, function and arity of each frame up to the one of Marks.
  defp frames(stacktrace) do
    stacktrace
    |> Enum.take_while(fn {module, _function, _arity, _location} -> module != Marks end)
    |> Enum.map(fn {module, function, arity, _location} -> {module, function, arity} end)
  end
end
