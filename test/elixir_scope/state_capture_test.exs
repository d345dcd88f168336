defmodule ElixirScope.StateCaptureTest do
  # When a state is recorded whole, and when by what changed.
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.Instrument.Runtime
  alias ElixirScope.{Native, Site}
  alias ElixirScope.Test.{Answering, Instrumented}
  alias ElixirScope.Test.Answering.{Machine, Server}

  @none :"$elixir_scope_none"

  defp state, do: %{count: 0, items: Map.new(1..100, &{&1, {:item, &1}})}

  # What `run` gives, having seen that it recorded so many changes, and so many of them whole.
  defp assert_told(changes, whole, run) do
    before = told()
    result = run.()
    after_it = told()
    assert {elem(after_it, 0) - elem(before, 0), elem(after_it, 1) - elem(before, 1)} == {changes, whole}
    result
  end

  defp assert_changes(changes, run), do: assert_told(changes, 0, run)
  defp assert_whole(run), do: assert_told(1, 1, run)

  defp told do
    changes = ElixirScope.count_events(event_type: :state_change)
    {whole, _checked} = Native.states_told()
    {changes, whole}
  end

  defp site(module \\ Kept, shape \\ :server), do: Answering.site(module, :handle, 3, GenServer, nil, shape)

  # A callback whose new state is what `fun` makes of the old one, and what it answers.
  defp callback(state, fun, module \\ Kept) do
    site = site(module)
    token = Native.enter_0(site)
    new = fun.(state)
    Native.exit_callback(site, token, {:noreply, new}, state, nil)
    new
  end

  defp begin(state, module \\ Kept) do
    site = site(module, :init)
    Native.exit_callback(site, Native.enter_0(site), {:ok, state}, @none, nil)
    state
  end

  defp count(state), do: %{state | count: state.count + 1}

  for path <- [:auto, false] do
    describe "a state, with terms read by #{if path, do: "words", else: "the NIF interface"}," do
      @describetag recorder: [capture: [raw_terms: path]]

      # A process keeps account of two modules at a time.
      test "that changes in the calls of two other modules is known to be unknown, until it is told" do
        [outer, inner, deepest] = for name <- [Outer, Inner, Deepest], do: begin(state(), name)
        fetch = fn -> ElixirScope.fetch_state_at(self(), :last, module: Deepest) end
        assert {:ok, ^deepest, %{quality: :unverified}} = fetch.()

        nested = fn deepest ->
          callback(
            outer,
            fn outer ->
              callback(
                inner,
                fn inner -> send(self(), callback(deepest, &count/1, Deepest)) && count(inner) end,
                Inner
              )

              count(outer)
            end,
            Outer
          )

          receive do
            state -> state
          end
        end

        deepest = nested.(deepest)
        assert {:ok, %{count: 0}, %{quality: :approximate}} = fetch.()

        assert {:ok, %{count: 1}, %{quality: quality}} =
                 ElixirScope.fetch_state_at(self(), :last, module: Outer)

        assert quality in [:exact, :unverified]
        # what was left alone is as it was
        callback(
          outer,
          fn outer ->
            callback(inner, fn inner -> callback(deepest, & &1, Deepest) && inner end, Inner) && outer
          end,
          Outer
        )

        assert {:ok, %{count: 0}, %{quality: :approximate}} = fetch.()
        deepest = callback(deepest, &count/1, Deepest)
        assert deepest.count == 2
        assert {:ok, ^deepest, %{quality: quality}} = fetch.()
        assert quality in [:exact, :unverified]
      end

      test "is recorded whole once, and then by what changes" do
        state = assert_whole(fn -> begin(state()) end)

        state =
          assert_changes(10, fn -> Enum.reduce(1..10, state, fn _, state -> callback(state, &count/1) end) end)

        assert_changes(1, fn -> callback(state, &put_in(&1.items[7], :seven)) end)
      end

      test "that comes out as it was is not recorded" do
        state = begin(state())
        assert_changes(0, fn -> callback(state, & &1) end)
        assert_changes(0, fn -> callback(state, &Map.put(&1, :items, Map.new(Map.to_list(&1.items)))) end)
      end

      test "of a server is recorded by what its callbacks change" do
        {:ok, pid} = assert_whole(fn -> GenServer.start(Server, {:ok, state()}) end)
        {:ok, machine} = assert_whole(fn -> :gen_statem.start(Machine, {:ok, :open, state()}, []) end)

        assert_changes(1, fn ->
          :gen_statem.call(machine, {:answer, {:next_state, :closed, :same, {:reply, :from, 1}}})
        end)

        GenServer.stop(pid)
        :gen_statem.stop(machine)
      end

      test "of a loop is recorded by what it goes on with" do
        state = state()
        assert_told(21, 1, fn -> await(spawn(fn -> loop(20, state) end)) end)
        # one that comes back by another way is not known to hold what it did
        assert_told(6, 3, fn -> await(spawn(fn -> for(_ <- 1..3, do: loop(1, state)) end)) end)
      end
    end
  end

  @loop Site.new({__MODULE__, :loop, 2, "test/state_capture_test.exs", 3, 1, [], :loop})

  defp loop(left, state) do
    token = Native.enter_0(@loop)
    Native.loop_state(@loop, token, state)

    if left > 0 do
      new = count(state)
      Native.loop_state(@loop, token, state, new)
      Native.exit_tail(@loop, token)
      loop(left - 1, new)
    else
      Native.exit_void(@loop, token)
    end
  end

  defp await(pid) do
    until_dead(pid)
    pid
  end

  describe "an instrumented loop" do
    @rounds 50

    # Bodies that go on with a state in all the ways there are: `step` counts how often each is evaluated.
    for {name, body} <- [
          quiet: "if n > 0, do: loop(n - 1, {state, n}), else: state",
          quiet_cases:
            "case n do\n 0 -> state\n n when n > 9 -> loop(n - 1, [n | state])\n n -> loop(n - 1, {n, state})\n end",
          simple: "if n > 0, do: loop(n - 1, state), else: state",
          protected: "if n > 0, do: loop(n - 1, step(state, n)), else: step(state, 0)",
          receiving:
            "send(self(), n)\n receive do\n ^n when n > 0 -> loop(n - 1, step(state, n))\n 0 -> state\n end",
          by_its_module: "if n > 0, do: __MODULE__.loop(n - 1, step(state, n)), else: state"
        ] do
      @tag body: body, changes: if(name == :simple, do: 1, else: @rounds + 1)
      test "of the body #{name} does what the plain one does, and its state is recorded whole once",
           context do
        text = """
        defmodule Kept.Loop do
          def run(n), do: loop(n, :start)

          def loop(n, state) do
            #{context.body}
          end

          defp step(state, n) do
            :counters.add(Process.get(:steps), 1, 1)
            [n | List.wrap(state)]
          end

          def used, do: step(1, 2)
        end
        """

        run = fn module ->
          Instrumented.apart(fn ->
            steps = :counters.new(1, [])
            Process.put(:steps, steps)
            {module.run(@rounds), :counters.get(steps, 1)}
          end)
        end

        beam = Instrumented.beam(text)
        plain = run.(Instrumented.load(elem(beam, 0), elem(beam, 1)))

        recorded =
          Instrumented.load(elem(beam, 0), Instrumented.instrument(elem(beam, 1), state: {:loop, 2, 1}))

        assert assert_told(context.changes, 1, fn -> run.(recorded) end) == plain
        Instrumented.unload(recorded)
      end
    end
  end

  describe "only the outermost call of a module" do
    setup do
      {:ok, state: begin(state())}
    end

    test "tells the state that it ends with", %{state: state} do
      nested = fn state -> state |> callback(&count/1) |> callback(&count/1) |> count() end
      assert_changes(1, fn -> callback(state, nested) end)
    end

    test "does, and not those of other modules inside of it", %{state: state} do
      other = assert_whole(fn -> begin(state(), Other) end)

      assert_changes(2, fn ->
        callback(state, fn state -> callback(other, &count/1, Other) && count(state) end)
      end)

      assert_changes(1, fn -> callback(count(other), &put_in(&1.items[1], 1), Other) end)
    end

    test "does, though one inside of it was left by an exception", %{state: state} do
      raising = fn state ->
        site = site()
        token = Native.enter_0(site)
        Native.exit_error(site, token, :error, :reason, [])
        count(state)
      end

      state = assert_changes(1, fn -> callback(state, raising) end)
      assert_changes(1, fn -> callback(state, &count/1) end)
    end

    test "does, though the process left the one before it by hibernating", %{state: state} do
      outer = Native.enter_0(site(Other))
      inner = Native.enter_0(site())
      Runtime.exit_all(site(), inner)
      assert_changes(1, fn -> callback(state, &count/1) end)
      assert outer >= 0
    end
  end

  describe "a state is recorded whole again" do
    setup do
      {:ok, state: begin(state())}
    end

    test "after a pause, once", %{state: state} do
      :ok = ElixirScope.pause()
      state = callback(state, &count/1)
      :ok = ElixirScope.resume()
      state = assert_whole(fn -> callback(state, &count/1) end)
      assert_changes(1, fn -> callback(state, &count/1) end)
    end

    test "where it is another one than was recorded last", %{state: state} do
      assert_whole(fn -> callback(%{state | count: 77}, &count/1) end)
    end

    test "where it changed while the process was muted", %{state: state} do
      Native.mute()
      state = callback(state, &put_in(&1.items[1], 1))
      Native.unmute()
      state = assert_whole(fn -> callback(state, &count/1) end)

      muting = fn state ->
        Native.mute()
        put_in(state.items[2], 2)
      end

      state = callback(state, muting)
      Native.unmute()
      assert_whole(fn -> callback(state, &count/1) end)
    end

    test "where callbacks were switched off and on", %{state: state} do
      :ok = Native.switch(%{strategy: nil, rules: [{Kept, false}]})
      state = callback(state, &count/1)
      :ok = Native.switch(%{strategy: nil, rules: []})
      assert_whole(fn -> callback(state, &count/1) end)
    end

    test "where what is kept of one changed, and not where the sampling did", %{state: state} do
      :ok = ElixirScope.update_config([:sampling_rate], 0.5)
      state = assert_changes(1, fn -> callback(state, &count/1) end)
      :ok = ElixirScope.update_config([:capture, :max_depth], 20)
      assert_whole(fn -> callback(state, &count/1) end)
    end

    @tag recorder: [capture: [max_state_bytes: 2_000]]
    test "where more changed than is kept of one", %{state: state} do
      assert_whole(fn ->
        callback(state, fn state ->
          %{state | items: Map.new(state.items, fn {n, _} -> {n, {n, String.duplicate("other", 10)}} end)}
        end)
      end)
    end
  end

  describe "a state that is handed over" do
    test "is recorded whole at first, and then by what changed" do
      state = state()
      site = site(Watched, nil)
      assert_whole(fn -> Native.state_seen(site, @none, state) end)
      assert_changes(0, fn -> Native.state_seen(site, state, state) end)
      new = count(state)
      assert_changes(1, fn -> Native.state_seen(site, state, new) end)
      assert_whole(fn -> Native.state_seen(site, %{new | count: 9}, state) end)
    end

    test "is that of the process that is named" do
      assert_whole(fn -> Native.state_of(site(Watched, nil), self(), state()) end)

      for odd <- [:not_a_pid, 7, nil] do
        assert Native.state_of(site(), odd, 1) == :ok
        assert Native.state_seen(odd, odd, odd) == :ok
      end
    end
  end

  for path <- [:auto, false] do
    @tag recorder: [capture: [raw_terms: path]]
    test "a binary that grows costs what comes to it, with raw_terms: #{path}" do
      page = :binary.copy("page", 50_000)
      state = begin(%{count: 0, page: page})
      grow = &%{&1 | count: &1.count + 1, page: <<&1.page::binary, &1.count>>}
      {whole, _checked} = Native.states_told()
      state = Enum.reduce(1..500, state, fn _, state -> callback(state, grow) end)
      assert {^whole, _checked} = Native.states_told()
      assert ElixirScope.status().capture.lost == %{}
      assert {:ok, ^state, %{quality: quality}} = ElixirScope.fetch_state_at(self(), :last)
      assert quality in [:exact, :unverified]
      assert [_none, first] = ElixirScope.get_state_history(self(), after: 0, limit: 2)
      assert {first.old_state.page, first.new_state.page} == {page, page <> <<0>>}

      assert [%{path: [:count]}, %{path: [:page], old: ^page, new: <<^page::binary-size(200_000), 0>>}] =
               Enum.sort_by(first.state_diff, & &1.path)
    end
  end

  # A change of so many parts is told by no delta; and there is no time for so many whole states.
  test "a large map that is swapped again and again is not written whole each time, but said to be unknown" do
    maps = for sign <- [1, -1], do: Map.new(1..60_000, &{&1, sign * &1})
    state = begin(%{count: 0, big: hd(maps)})
    {whole, _checked} = Native.states_told()
    swap = fn n, state -> callback(state, &%{&1 | count: n, big: Enum.at(maps, rem(n, 2))}) end

    {state, seen} =
      Enum.reduce(1..150, {state, []}, fn n, {state, seen} ->
        state = swap.(n, state)
        {state, [{ElixirScope.now(), state} | seen]}
      end)

    {now_whole, _checked} = Native.states_told()
    assert now_whole - whole < 50
    answers = for {time, truth} <- seen, do: {truth, ElixirScope.fetch_state_at(self(), time)}

    for {truth, {:ok, told, %{quality: quality}}} <- answers,
        do: assert(told == truth or quality == :approximate)

    assert Enum.any?(answers, fn {truth, {:ok, told, _meta}} -> told != truth end),
           "the test withholds nothing"

    # As soon as there is time again, a change tells all of it.
    healed =
      Enum.reduce_while(Stream.cycle([1]), state, fn _, state ->
        state = callback(state, &count/1)

        case ElixirScope.fetch_state_at(self(), :last) do
          {:ok, ^state, %{quality: quality}} when quality in [:unverified, :exact] -> {:halt, state}
          {:ok, _told, %{quality: :approximate}} -> {:cont, state}
        end
      end)

    assert healed.count > 150
    assert ElixirScope.status().timelines.mismatches == 0
  end

  # The first states of half of them are gone before anybody has taken them, and the whole ones that are asked for then.
  @tag recorder: [capture: [buffer_bytes: 65_536]]
  test "a state too large for the ring to keep up with is as it was, or said to be approximate" do
    for round <- 1..20 do
      server =
        spawn_link(fn ->
          state = begin(%{count: 0, page: <<0::size(20_000)-unit(8)>>})
          change = &%{&1 | count: &1.count + 1, page: <<&1.count, 0::size(20_000)-unit(8)>>}
          state = Enum.reduce(1..(3 * round), state, fn _, state -> callback(state, change) end)
          receive do: ({:show, from} -> send(from, {:state, state}))
          Process.sleep(:infinity)
        end)

      send(server, {:show, self()})
      assert_receive {:state, state}
      assert {:ok, told, meta} = ElixirScope.fetch_state_at(server, :last)
      assert told == state or meta.quality == :approximate
      assert [_ | _] = ElixirScope.get_state_history(server)
    end

    assert ElixirScope.status().capture.lost.dropped_oldest > 0
  end

  test "a state is checked at first after some changes, and after as many again" do
    state = begin(%{count: 0})
    {_whole, before} = Native.states_told()
    Enum.reduce(1..1_000, state, fn _, state -> callback(state, &count/1) end)
    {_whole, checked} = Native.states_told()
    assert (checked - before) in 1..63
    assert ElixirScope.status().faults.panics == 0
  end
end
