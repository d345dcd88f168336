defmodule Shop.PrintTest do
  use ExUnit.Case
  import ExUnit.CaptureIO

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
    test "of nothing says so" do
      assert capture_io(fn -> Shop.Print.events([]) end) =~ "nothing on the tape"
    end
  end
end
