defmodule Shop.PrintTest do
  use ExUnit.Case
  import ExUnit.CaptureIO

  alias ElixirScope.Events.{Span, UserEvent}

  doctest Shop.Print.Unit
  doctest Shop.Print.Table, import: true

  describe "Progress.watch/3" do
    test "counts up to the total where there is no terminal, and returns what the work returns" do
      output =
        capture_io(fn ->
          result =
            Shop.Print.Progress.watch("steps", 20, fn step -> Enum.map(1..20, fn n -> step.() && n end) end)

          assert result == Enum.to_list(1..20)
        end)

      assert output =~ "20 of 20 steps"
      refute output =~ "\r"
    end
  end

  describe "events/1" do
    test "indents what happened inside a span, for each process by itself" do
      me = self()
      span = %Span{event_type: :span_start, name: "outer", pid: me, timestamp: 1_000_000}
      inner = %UserEvent{name: :inner, data: 1, pid: me, timestamp: 2_000_000}
      other = %UserEvent{name: :other, data: 2, pid: spawn(fn -> :ok end), timestamp: 2_500_000}
      stop = %Span{span | event_type: :span_stop, exit_reason: :normal, duration_ns: 2_000_000}
      output = capture_io(fn -> Shop.Print.events([span, inner, other, stop]) end)

      assert [outer, inner, other, stop] = String.split(output, "\n", trim: true)
      assert outer =~ ~r/^  0.000 ms  #PID<[\d.]+>  > outer/
      assert inner =~ ~r/^  1.000 ms  #PID<[\d.]+>    \* inner  1$/
      assert other =~ ~r/^  1.500 ms  #PID<[\d.]+> +\* other  2$/
      assert stop =~ ~r/< outer  2.0 ms$/
    end

    test "of nothing says so" do
      assert capture_io(fn -> Shop.Print.events([]) end) =~ "nothing on the tape"
    end
  end
end
