defmodule Shop.Print.PastTest do
  use ExUnit.Case
  import ExUnit.CaptureIO

  alias ElixirScope.Events.StateChange
  alias Shop.Load.{Entry, Moment}
  alias Shop.Print.Past

  test "steps/1 draws what each step changed in one line" do
    first = %StateChange{callback: :init, new_state: %{lines: %{}}, timestamp: 1_000_000}

    diff = [
      %{path: [:lines, "tea"], op: :changed, old: 1, new: 3},
      %{path: [:lines, "mug"], op: :removed, old: 2}
    ]

    next = %StateChange{
      trigger_message: :swap,
      new_state: %{lines: %{"tea" => 3}},
      state_diff: diff,
      timestamp: 3_000_000
    }

    assert [_head, opened, swapped] = lines(fn -> Past.steps([first, next]) end)
    assert opened =~ ~r/0.000 ms  init +%{lines: %{}}$/
    assert swapped =~ ~S(2.000 ms  :swap  %{lines: %{"tea" => 3}}  ~ .lines["tea"] 1 -> 3, - .lines["mug"] 2)
  end

  test "views/1 shows what was held beside what its shopper knows, and what is not on the tape" do
    entry = %Entry{
      step: :open_cart,
      cart: "cart-1",
      status: 201,
      answer: %{},
      asked_at: 0,
      answered_at: 2,
      duration_ns: 2
    }

    moments = [%Moment{at: 0, entry: nil, lines: nil}, %Moment{at: 2_000_000, entry: entry, lines: %{}}]
    states = [:no_state_recorded, :evicted]
    views = for {moment, state} <- Enum.zip(moments, states), do: %{moment: moment, state: state, diff: []}

    assert [_head, before, opened] = lines(fn -> Past.views(views) end)
    assert before =~ ~r/0.000 ms  before all +\(none\) +\(none\)$/
    assert opened =~ ~r/2.000 ms  after open_cart +\(gave way\) +%{}$/
  end

  test "takings/2 says where a change or its request had to give way" do
    change = %StateChange{trigger_message: {:take, %{"lamp" => 1}}, wall_time: 1_700_000_000_000_000_000}
    taking = %{sku: "lamp", change: change, units: {1, 0}, cart: nil, request: nil}
    assert [_head, line] = lines(fn -> Past.takings([taking]) end)
    assert line =~ ~r/lamp +1 -> 0  22:13:20.000  {:take, %{"lamp" => 1}}  \(gave way\)$/

    gone = %{sku: "lamp", change: nil, units: {nil, nil}, cart: nil, request: nil}
    assert [_head, line] = lines(fn -> Past.takings([gone]) end)
    assert line =~ ~r/lamp +\(gave way\)$/
  end

  test "of nothing all say so" do
    for print <- [&Past.steps/1, &Past.views/1, &Past.takings/1, &Past.effects(&1, 0)],
        do: assert(capture_io(fn -> print.([]) end) =~ "nothing on the tape")

    assert capture_io(fn -> Past.crashed(nil) end) =~ "it did not crash"
  end

  defp lines(print), do: print |> capture_io() |> String.split("\n", trim: true)
end
