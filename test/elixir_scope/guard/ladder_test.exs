defmodule ElixirScope.Guard.LadderTest do
  use ExUnit.Case, async: true

  alias ElixirScope.Guard.{Bounds, Ladder, Reading}

  @system %{schedulers: 4, memory_bytes: 1_000_000}
  @off %{
    max_run_queue: :infinity,
    max_memory_bytes: :infinity,
    max_cpu_share: :infinity,
    max_loss: :infinity
  }
  @still %{run_queue: 0, memory_bytes: 0, cpu_share: 0.0, loss: 0.0}

  defp bounds(config), do: Bounds.of(Map.merge(@off, config), @system)

  # The levels after each of the looks, which find these figures.
  defp climb(bounds, looks, ladder \\ Ladder.at(0)) do
    {ladders, _} =
      Enum.map_reduce(looks, ladder, fn figures, ladder ->
        figures = Map.merge(@still, figures)

        next =
          case Ladder.look(ladder, Bounds.passed(bounds, figures), Bounds.calm?(bounds, figures)) do
            {:stay, ladder} -> ladder
            {:up, _key, ladder} -> ladder
            {:down, ladder} -> ladder
          end

        {next, next}
      end)

    Enum.map(ladders, & &1.level)
  end

  defp times(figures, n), do: List.duplicate(figures, n)

  describe "on the way up" do
    test "a bound that was given counts at the second look in a row" do
      busy = %{run_queue: 11}
      bounds = bounds(%{max_run_queue: 10})
      assert climb(bounds, [busy, busy, busy, busy]) == [0, 1, 1, 2]
      assert climb(bounds, [busy, %{}, busy, %{}, busy]) == [0, 0, 0, 0, 0]
      assert climb(bounds, times(%{run_queue: 10}, 5)) == [0, 0, 0, 0, 0]
    end

    test "one that was not given counts at the tenth" do
      bounds = bounds(%{max_run_queue: :auto})
      assert bounds.max_run_queue.limit == 32
      assert climb(bounds, times(%{run_queue: 33}, 20)) == times(0, 9) ++ times(1, 10) ++ [2]
    end

    test "two bounds that take turns are none" do
      bounds = bounds(%{max_run_queue: 10, max_memory_bytes: 100})
      turns = [%{run_queue: 11}, %{memory_bytes: 101}]
      assert climb(bounds, turns ++ turns) == [0, 0, 0, 0]
    end

    test "it ends at the highest level" do
      bounds = bounds(%{max_loss: 0})
      assert List.last(climb(bounds, times(%{loss: 0.5}, 30))) == 4
      assert Enum.map(0..4, &Ladder.name/1) == Ladder.levels()
    end

    test "nothing counts that is not watched" do
      everything = %{run_queue: 9_999, memory_bytes: 1_000_000_000, cpu_share: 9.0, loss: 1.0}
      assert climb(bounds(%{}), times(everything, 30)) == times(0, 30)
    end
  end

  describe "on the way down" do
    test "each level takes ten calm looks" do
      bounds = bounds(%{max_run_queue: 10})
      assert climb(bounds, times(%{run_queue: 5}, 21), Ladder.at(2)) == times(2, 9) ++ times(1, 10) ++ [0, 0]
    end

    test "what is near the bound is not calm, and begins the count anew" do
      bounds = bounds(%{max_run_queue: 10})
      assert climb(bounds, times(%{run_queue: 6}, 30), Ladder.at(1)) == times(1, 30)
      looks = times(%{}, 9) ++ [%{run_queue: 6}] ++ times(%{}, 10)
      assert climb(bounds, looks, Ladder.at(1)) == times(1, 19) ++ [0]
    end

    test "memory is calm at nine tenths, for a node rarely gives it back" do
      bounds = bounds(%{max_memory_bytes: :auto})
      assert bounds.max_memory_bytes.limit == 800_000
      assert List.last(climb(bounds, times(%{memory_bytes: 720_000}, 10), Ladder.at(1))) == 0
      assert List.last(climb(bounds, times(%{memory_bytes: 720_001}, 10), Ladder.at(1))) == 1
    end

    test "what is not watched keeps nobody up" do
      assert List.last(climb(bounds(%{}), times(%{run_queue: 9_999}, 10), Ladder.at(1))) == 0
    end
  end

  describe "the share of a core" do
    test "that was not bounded counts only while processes wait for a scheduler" do
      bounds = bounds(%{max_cpu_share: :auto})
      assert climb(bounds, times(%{cpu_share: 0.9, run_queue: 4}, 10)) == times(0, 10)
      assert List.last(climb(bounds, times(%{cpu_share: 0.9, run_queue: 5}, 10))) == 1
      assert List.last(climb(bounds, times(%{cpu_share: 0.9, run_queue: 4}, 10), Ladder.at(1))) == 0
    end

    test "that was bounded counts always" do
      assert climb(bounds(%{max_cpu_share: 0.1}), times(%{cpu_share: 0.2}, 2)) == [0, 1]
    end
  end

  describe "a reading" do
    @second System.convert_time_unit(1, :second, :native)

    test "tells what recording took: its thread, and each event" do
      last = %{at_ns: 0, recorded: 1_000, lost: 5, cpu_ns: 7, capture_ns: nil}

      seen = %{
        at_ns: @second,
        recorded: 1_001_000,
        lost: 5,
        cpu_ns: 200_000_007,
        capture_ns: 100
      }

      assert Reading.since(seen, last) == %{cpu_share: 0.3, loss: 0.0}
      assert Reading.since(%{seen | capture_ns: nil, lost: 1_000_005}, last) == %{cpu_share: 0.2, loss: 0.5}
    end

    test "tells nothing of the first look, and nothing of a recorder that was there before" do
      seen = %{at_ns: @second, recorded: 10, lost: 5, cpu_ns: 7, capture_ns: 1}
      assert Reading.since(seen, nil) == %{cpu_share: 0.0, loss: 0.0}
      later = %{seen | at_ns: 0, recorded: 20, lost: 8, cpu_ns: 100, capture_ns: 1}
      assert Reading.since(seen, later) == %{cpu_share: 0.0, loss: 0.0}
    end

    test "tells of the node's memory, which is less than the system's" do
      figures = Reading.take(%{at_ns: 0}, nil)
      assert figures.memory_bytes > 1_048_576
      assert figures.run_queue >= 0

      if Reading.system_memory(), do: assert(figures.memory_bytes < Reading.system_memory())
    end
  end
end
