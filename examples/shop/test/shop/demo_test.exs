defmodule Shop.DemoTest do
  use ExUnit.Case
  import ExUnit.CaptureIO

  test "answers every question, and its answers agree with what the shoppers know" do
    output = capture_io(fn -> assert Shop.Demo.run(requests: 800, shoppers: 8) end)

    assert output =~ "800 requests to http://localhost:"
    assert output =~ ~r/a second +[\d,]+/
    assert output =~ ~r/cart-\d+ +[\d.]+ ms .* payment/
    assert output =~ "* cart_opened"
    assert output =~ ~s(%MatchError{term: ["AB12CD"]})
    assert output =~ ~r/ok +request spans ended +800 +800/
    refute output =~ "FAIL"
    refute output =~ ~r/\d{16}/
  end

  test "says what is wrong with its options" do
    assert_raise Mix.Error, ~r/--requests must be a positive integer, and is 0/, fn ->
      Mix.Tasks.Shop.Demo.run(["--requests", "0"])
    end

    assert_raise Mix.Error, ~r/not understood: --speed/, fn -> Mix.Tasks.Shop.Demo.run(["--speed", "9"]) end
  end
end
