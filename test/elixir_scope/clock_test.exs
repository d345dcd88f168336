defmodule ElixirScope.ClockTest do
  use ElixirScope.Test.RecorderCase

  describe "now/0" do
    test "falls between the events before and after it" do
      for n <- 1..300 do
        Trace.event(:before, n)
        now = ElixirScope.now()
        Trace.event(:after, n)

        assert [%{data: ^n}] = ElixirScope.get_events(pid: self(), until: now, limit: 1)
        assert [%{name: :after, data: ^n}] = ElixirScope.get_events(pid: self(), since: now)
      end
    end

    test "never goes back, in one process or from one to another" do
      parent = self()

      ball =
        spawn_link(fn ->
          for _ <- 1..500 do
            receive do
              :ping -> send(parent, {:pong, ElixirScope.now()})
            end
          end
        end)

      Enum.reduce(1..500, ElixirScope.now(), fn _n, last ->
        send(ball, :ping)
        assert_receive {:pong, there}
        here = ElixirScope.now()
        assert last <= there and there <= here
        here
      end)
    end

    test "agrees with System.monotonic_time within the skew that status tells" do
      for _ <- 1..200 do
        skew = abs(ElixirScope.status().clock.skew_ns)
        before = System.monotonic_time(:nanosecond)
        now = ElixirScope.now()
        later = System.monotonic_time(:nanosecond)
        # A microsecond at least: the reading of two clocks takes its time, and each of them rounds.
        skew = max(1_000, max(skew, abs(ElixirScope.status().clock.skew_ns)))

        assert now >= before - skew
        assert now <= later + skew
        assert skew < 1_000_000
      end
    end
  end

  describe "the times of events" do
    test "follow the order in which a process recorded them" do
      for n <- 1..2_000, do: Trace.event(:n, n)
      events = all_events(pid: self())
      assert Enum.map(events, & &1.data) == Enum.to_list(1..2_000)
      assert Enum.map(events, & &1.timestamp) == events |> Enum.map(& &1.timestamp) |> Enum.sort()
      assert Enum.map(events, & &1.id) == events |> Enum.map(& &1.id) |> Enum.sort()
    end

    test "follow a message from one process to another" do
      parent = self()

      for n <- 1..300 do
        Trace.event(:sent, n)

        spawn_link(fn ->
          Trace.event(:received, n)
          send(parent, :done)
        end)

        assert_receive :done
      end

      assert all_events() |> Enum.filter(&(&1.name in [:sent, :received])) |> Enum.map(&{&1.data, &1.name}) ==
               Enum.flat_map(1..300, &[{&1, :sent}, {&1, :received}])
    end
  end
end
