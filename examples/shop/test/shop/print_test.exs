defmodule Shop.PrintTest do
  use ExUnit.Case
  import ExUnit.CaptureIO

  alias ElixirScope.Events.{FunctionEntry, FunctionExit, MessageSend, StateChange}

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
    test "tells a call in one line, and what happened in it below, for each process by itself" do
      me = self()

      entry = %FunctionEntry{
        id: 1,
        module: Shop.Cart,
        function: :view,
        arity: 1,
        args: ["cart-1"],
        pid: me,
        timestamp: 1_000_000
      }

      inner = %MessageSend{id: 2, send_type: :call, receiver_name: Shop.Inventory, message: :stock, pid: me}
      inner = %{inner | timestamp: 2_000_000}
      other = %StateChange{id: 3, new_state: %{a: 1}, pid: spawn(fn -> :ok end), timestamp: 2_500_000}
      exit = %FunctionExit{id: 4, call_id: 1, exit_reason: :normal, result: :ok, duration_ns: 2_000_000}
      exit = %{exit | pid: me, timestamp: 3_000_000}
      output = capture_io(fn -> Shop.Print.events([entry, inner, other, exit]) end)

      assert [call, inner, other] = String.split(output, "\n", trim: true)
      assert call =~ ~r/^  0.000 ms  #PID<[\d.]+>  Shop.Cart.view\("cart-1"\)  -> :ok, 2.0 ms$/
      assert inner =~ ~r/^  1.000 ms  #PID<[\d.]+>    ! call to Shop.Inventory: :stock$/
      assert other =~ ~r/^  1.500 ms  #PID<[\d.]+> += %{a: 1}$/
    end

    test "tells the end of a call that began before" do
      exit = %FunctionExit{
        id: 4,
        call_id: 1,
        module: Shop.Label,
        function: :print,
        arity: 1,
        pid: self(),
        timestamp: 0
      }

      exit = %{exit | exit_reason: {:error, :badarg, []}, duration_ns: 500}
      assert capture_io(fn -> Shop.Print.events([exit]) end) =~ "… Shop.Label.print/1  error: :badarg, 500 ns"
    end

    test "of nothing says so" do
      assert capture_io(fn -> Shop.Print.events([]) end) =~ "nothing on the tape"
    end
  end
end
