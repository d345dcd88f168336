defmodule Shop.DemoTest do
  use ExUnit.Case
  import ExUnit.CaptureIO

  test "answers every question, and its answers agree with what the shoppers know" do
    output = capture_io(fn -> send(self(), {:passed, Shop.Demo.run(requests: 800, shoppers: 8)}) end)
    assert for(line <- String.split(output, "\n"), line =~ "FAIL", do: line) == []
    assert_received {:passed, true}

    assert output =~ "800 requests to http://localhost:"
    assert output =~ ~r/a second +[\d,]+/
    assert output =~ ~r/cart-\d+ +[\d.]+ ms .* Shop.Bank.charge/
    assert output =~ ~r/Shop.Cart.handle_call\(:view, .*\) +-> {:reply, {:ok, %{/
    assert output =~ ~r/\d+ +Shop.Bank.charge\/2 +answered +:declined/
    assert output =~ ~r/init +%{id: "cart-\d+", lines: %{}}/
    assert output =~ ~r/{:add, "\w+", \d} +%{id: "cart-\d+", lines: %{.*}} +\+ .lines\["\w+"\] \d/
    assert output =~ ~r/before all +\(none\) +\(none\)/
    assert output =~ ~r/after add_item +%{"\w+" => \d.*} +[+~] .lines\["\w+"\] .* +%{"\w+" => \d.*}/
    assert output =~ ~r/ms  shelves +~ \["\w+"\] \d+ -> \d+/
    assert output =~ ~r/ms  order book +\+ \[\d+\] :paid/
    assert output =~ ~r/lamp +\d+ -> \d+ .* POST \/carts\/cart-\d+\/checkout +order \d+ of cart-\d+/
    assert output =~ ~r/#PID<[\d.]+> had %{last: .*packed: \d+}, \w+\n/
    assert output =~ ~r/:close +:ok +[\d.]+ [nµm]s/u
    assert output =~ ~r/with %{last: .*packed: \d+} as its state/
    assert output =~ ~s(%MatchError{term: ["AB12CD"]})
    assert output =~ ~r/ok +requests ended +800 +800/
    refute output =~ ~r/\d{16}/
  end

  test "says which option is wrong and what was expected" do
    for {arguments, told} <- [
          {["--requests", "0"], "got: --requests 0"},
          {["--shoppers", "many"], "got: --shoppers many"},
          {["--speed", "9"], "got: --speed 9"},
          {["please"], "got: please"}
        ] do
      error = assert_raise Mix.Error, fn -> Mix.Tasks.Shop.Demo.run(arguments) end
      assert error.message =~ "expects --requests and --shoppers with a positive integer"
      assert String.ends_with?(error.message, told)
    end
  end
end
