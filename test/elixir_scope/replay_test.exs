defmodule ElixirScope.ReplayTest do
  use ElixirScope.Test.RecorderCase

  import ExUnit.CaptureIO, only: [capture_io: 1, with_io: 1]

  alias ElixirScope.{Redacted, Replay, Truncated}
  alias ElixirScope.Replay.Render
  alias ElixirScope.Test.Generate
  alias ElixirScopeTest.Watchable.Counter

  doctest ElixirScope.Replay

  @plain [colors: false]

  defp text(iodata), do: IO.iodata_to_binary(iodata)
  defp cut, do: %Truncated{kind: :list, kept: 3, total: 10}

  defp change(fields) do
    struct!(
      %Events.StateChange{wall_time: 1_700_000_000_123_456_789, callback: :handle_cast, state_diff: []},
      fields
    )
  end

  describe "format_diff/2" do
    test "shows what came, went and is another" do
      diff = [
        %{path: [:cart, "tea"], op: :added, old: nil, new: 2},
        %{path: [:items, 0], op: :removed, old: "milk", new: nil},
        %{path: [:total], op: :changed, old: 10, new: 12},
        %{path: [], op: :changed, old: :a, new: :b}
      ]

      assert text(Replay.format_diff(diff, @plain)) == """
               + .cart["tea"] 2
               - .items[0] "milk"
               ~ .total 10 -> 12
               ~ (all) :a -> :b
             """
    end

    test "shows a masked value that changed" do
      diff = [%{path: [:token], op: :changed, old: %Redacted{}, new: %Redacted{}}]
      assert text(Replay.format_diff(diff, @plain)) == "  ~ .token (masked)\n"
    end

    test "says so when nothing changed, and how much more there is than it shows" do
      assert text(Replay.format_diff([], @plain)) == "  (nothing changed)\n"
      diff = for n <- 1..7, do: %{path: [n], op: :added, new: n}
      lines = diff |> Replay.format_diff([limit: 3] ++ @plain) |> text() |> String.split("\n", trim: true)
      assert length(lines) == 4
      assert List.last(lines) == "  ... 4 more"
    end

    test "has colours where they are wanted, and else none" do
      diff = [%{path: [:a], op: :changed, old: 1, new: 2}]
      assert text(Replay.format_diff(diff, colors: true)) =~ IO.ANSI.red() <> "1"
      refute text(Replay.format_diff(diff, colors: false)) =~ "\e["
    end
  end

  describe "format_change/2" do
    test "tells when, by what, and what changed" do
      change =
        change(trigger_message: {:add, "tea"}, state_diff: [%{path: ["tea"], op: :changed, old: 1, new: 2}])

      assert text(Replay.format_change(change, @plain)) ==
               "22:13:20.123456 handle_cast {:add, \"tea\"}\n  ~ [\"tea\"] 1 -> 2\n"
    end

    test "shows the first state as it is, and one that nobody can rely on" do
      change = change(callback: nil, state_diff: nil, new_state: %{tea: 1}, quality: :approximate)

      assert text(Replay.format_change(change, @plain)) ==
               "22:13:20.123456 watched (approximate)\n  = %{tea: 1}\n"
    end
  end

  describe "what was masked or cut" do
    test "is told where a line has no room for its mark" do
      long = String.duplicate("x", 500)

      for {value, told} <- [
            {[long, %Redacted{}], "(1 masked)"},
            {%{a: long, b: cut(), c: %Redacted{}}, "(1 masked, 1 cut)"},
            {{long, {1, {2, [3 | cut()]}}}, "(1 cut)"}
          ] do
        diff = [%{path: [:key], op: :changed, old: value, new: value}]
        line = text(Replay.format_diff(diff, @plain ++ [width: 80]))
        assert length(String.split(line, told)) == 3, line
      end
    end

    test "is shown as it is where there is room" do
      diff = [%{path: [:key], op: :added, new: %{token: %Redacted{}}}]
      assert text(Replay.format_diff(diff, @plain)) =~ "%{token: #ElixirScope.Redacted<>}\n"

      assert text(Replay.format_state(%{list: [1 | cut()]}, @plain)) =~
               "#ElixirScope.Truncated<list: 3 of 10 kept>"
    end

    test "is counted at the end of a state, also where the limit leaves it out" do
      state = Enum.to_list(1..100) ++ [%Redacted{}, cut(), cut()]
      assert text(Replay.format_state(state, @plain ++ [limit: 5])) =~ "(1 masked, 2 cut)\n"
    end
  end

  test "no line is longer than the width, whatever is shown" do
    Generate.seed()

    for _ <- 1..300 do
      width = Generate.integer(50..120)
      opts = [width: width, colors: false, limit: Generate.integer(1..50)]
      value = fn -> Generate.one_of([Generate.term(4), String.duplicate("ä", 300), [%Redacted{} | cut()]]) end

      path =
        for _ <- 1..Generate.integer(1..6), do: Generate.one_of([Generate.term(1), :key, :"with space", 0])

      texts = [
        Replay.format_diff([%{path: path, op: :changed, old: value.(), new: value.()}], opts),
        Replay.format_diff([%{path: path, op: :added, new: value.()}], opts),
        Replay.format_change(
          change(trigger_message: value.(), state_diff: nil, new_state: value.(), quality: :approximate),
          opts
        ),
        Replay.format_state(value.(), opts)
      ]

      for text <- texts, line <- String.split(text(text), "\n") do
        assert String.length(line) <= width, "#{String.length(line)} > #{width}: #{line}"
      end
    end
  end

  test "paths read as they are written" do
    assert Render.path([:a, "b", 0, :"c d", nil, {1, 2}, :e?]) == ~s(.a["b"][0]."c d"[nil][{1, 2}].e?)
  end

  test "a wrong option is an error, or raised where text is made" do
    assert message_of(Replay.timeline(self(), width: 3)) =~ "an integer from 50 to 1000"
    assert message_of(Replay.jump(self(), :last, colours: true)) =~ "unknown option :colours"

    assert_raise ElixirScope.Error, ~r/unknown option :colours/, fn ->
      Replay.format_diff([], colours: true)
    end
  end

  describe "a walk" do
    setup do
      {:ok, counter} = Counter.start_link(0)
      {:ok, _ref} = ElixirScope.watch(counter)

      times =
        for n <- 1..3 do
          GenServer.call(counter, {:add, n})
          GenServer.call(counter, :get)
          ElixirScope.now()
        end

      %{counter: counter, times: times}
    end

    test "goes to a time, on and back, and prints the change and the state", %{counter: counter, times: times} do
      {{:ok, place}, text} = with_io(fn -> Replay.jump(counter, Enum.at(times, 1), @plain) end)
      assert text =~ ~r/^\d\d:\d\d:\d\d\.\d{6} watched\n  ~ \(all\) 1 -> 3\n3\n$/
      assert inspect(place) =~ "#ElixirScope.Replay<#{inspect(counter)} at "
      {{:ok, later}, _text} = with_io(fn -> Replay.next(place) end)
      assert later.change.new_state == 6
      assert with_io(fn -> Replay.next(later) end) == {{:error, :end_of_tape}, ""}
      {{:ok, first}, _text} = with_io(fn -> with {:ok, back} <- Replay.back(place), do: Replay.back(back) end)
      assert first.change.new_state == 0
      assert with_io(fn -> Replay.back(first) end) == {{:error, :start_of_tape}, ""}
      assert capture_io(fn -> Replay.diff(first, later, @plain) end) == "  ~ (all) 0 -> 6\n"
      assert capture_io(fn -> Replay.diff(later, first, @plain) end) == "  ~ (all) 0 -> 6\n"
      assert capture_io(fn -> Replay.diff(counter, hd(times), :last, @plain) end) == "  ~ (all) 1 -> 6\n"
    end

    test "has a timeline, newest changes last", %{counter: counter} do
      text = capture_io(fn -> Replay.timeline(counter, [limit: 2] ++ @plain) end)
      assert [_time1, "  ~ (all) 1 -> 3", _time2, "  ~ (all) 3 -> 6"] = String.split(text, "\n", trim: true)
      assert Replay.timeline(spawn(fn -> :ok end)) == {:error, :no_state_recorded}
      assert message_of(Replay.timeline(:counter)) =~ "a pid"
    end
  end

  describe "a large state" do
    setup do
      {:ok, agent} =
        Agent.start_link(fn ->
          %{count: 1, items: Map.new(1..20_000, &{&1, "item #{&1}"}), password: "secret"}
        end)

      {:ok, _ref} = ElixirScope.watch(agent)
      ElixirScope.Test.Wait.until(fn -> match?(%{count: 1}, ElixirScope.get_state_at(agent, :last)) end)
      before = ElixirScope.now()
      Agent.update(agent, &%{&1 | count: 2})
      Agent.update(agent, &%{&1 | items: [self(), :none], password: "other"})
      Agent.update(agent, &Map.put(&1, :page, {<<0::size(20_000)-unit(8)>>, []}))
      Agent.get(agent, & &1)
      %{agent: agent, before: before}
    end

    # The whole heap of the process that prints may be smaller than the state.
    defp printed(fun) do
      test = self()

      {pid, monitor} =
        :erlang.spawn_opt(fn -> send(test, {:printed, with_io(fun)}) end, [
          :monitor,
          max_heap_size: %{size: 60_000, kill: true, error_logger: false}
        ])

      receive do
        {:printed, printed} ->
          Process.demonitor(monitor, [:flush])
          printed

        {:DOWN, ^monitor, :process, ^pid, reason} ->
          flunk("it took too much memory: #{inspect(reason)}")
      end
    end

    test "is printed without being made", %{agent: agent, before: before} do
      assert :erts_debug.flat_size(ElixirScope.get_state_at(agent, before)) > 100_000
      {{:ok, place}, text} = printed(fn -> Replay.jump(agent, before, @plain) end)
      lines = String.split(text, "\n", trim: true)
      assert Enum.all?(lines, &(String.length(&1) <= 100))
      assert text =~ ~s(count: 1) and text =~ ~s(=> "item ) and text =~ "..."
      assert List.last(lines) =~ ~r/^\(\d{6} bytes, 1 masked\)$/
      refute text =~ "secret"
      assert %Replay.Text{masked: 1, cut: 0, bytes: bytes} = place.change.new_state
      assert bytes > 200_000
      assert inspect(place.change.new_state) =~ ~r/^#ElixirScope.Replay.Text<#{bytes} bytes: %\{/
    end

    test "and its changes, small ones as ever", %{agent: agent, before: before} do
      {:ok, text} = printed(fn -> Replay.timeline(agent, [limit: 4] ++ @plain) end)
      assert text =~ "  ~ .count 1 -> 2\n"
      assert text =~ ~r/  ~ \.password \(masked\)\n/
      assert text =~ ~r/  ~ \.items %\{\d+ => .*\(\d{6} bytes\) -> \[#PID<\d+\.\d+\.\d+>, :none\]\n/
      assert text =~ ~r/  \+ \.page \{.*\(\d+ bytes\)\n/
      {:ok, text} = printed(fn -> Replay.diff(agent, before, :last, @plain) end)
      assert text =~ "  ~ .count 1 -> 2\n"
      assert text =~ ~r/\.items .*\(\d{6} bytes\)/
    end
  end
end
