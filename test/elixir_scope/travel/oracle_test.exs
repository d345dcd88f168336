defmodule ElixirScope.Travel.OracleTest do
  use ElixirScope.Test.RecorderCase

  import ElixirScope.Test.Generate, only: [integer: 1, one_of: 1]

  alias ElixirScope.{Events, Redacted, Truncated}
  alias ElixirScopeTest.Travel.{Functions, Loop, Machine, Server, States, Truth}

  @instrumented [Server, Machine, Functions, Loop]
  @rounds 250

  @moduletag timeout: 300_000
  @moduletag recorder: [storage: [memory_limit: 128 * 1_048_576], traces: [max: 1_000_000, rate: 1_000_000]]

  # The same programs in every run; SEED=n tries others.
  setup do
    :rand.seed(:exsss, {String.to_integer(System.get_env("SEED", "4")), 5, 6})

    on_exit(fn ->
      ElixirScope.start()
      ElixirScope.uninstrument(@instrumented)
      ElixirScope.stop()
    end)
  end

  defp instrument do
    :ok = ElixirScope.instrument([Server, Machine, Functions])
    :ok = ElixirScope.instrument(Loop, state: {:loop, 2, 1})
  end

  # -- Processes ----------------------------------------------------------------------------------------------------------

  # Each kind: how it starts, how it carries out an operation, and what it holds.
  defp start(:server), do: begin(Server)
  defp start(:machine), do: begin(Machine)
  defp start(:functions), do: begin(Functions)

  # Nobody waits for a plain process to have begun.
  defp start(:loop) do
    pid = begin(Loop)
    hold(:loop, pid)
    pid
  end

  defp start(:agent) do
    {:ok, pid} = Agent.start_link(&States.new/0)
    {:ok, _ref} = ElixirScope.watch(pid, for: :infinity)
    pid
  end

  defp start(:watched_machine) do
    {:ok, pid} = Machine.start_link(States.new())
    {:ok, _ref} = ElixirScope.watch(pid, for: :infinity, force: true)
    pid
  end

  defp start(:supervisor) do
    {:ok, pid} = DynamicSupervisor.start_link(strategy: :one_for_one)
    {:ok, _ref} = ElixirScope.watch(pid, for: :infinity)
    pid
  end

  defp begin(module) do
    {:ok, pid} = module.start_link(States.new())
    pid
  end

  defp run(:server, pid, operation) do
    case integer(1..12) do
      1 -> GenServer.call(pid, {:reply, operation})
      2 -> GenServer.call(pid, {:reply_timeout, operation})
      3 -> GenServer.call(pid, {:reply_now, operation})
      4 -> GenServer.call(pid, {:reply_hibernate, operation})
      5 -> GenServer.call(pid, {{:reply_continue, States.operation(without: [:fun])}, operation})
      6 -> GenServer.call(pid, {:noreply, operation})
      7 -> GenServer.call(pid, {:inner, operation})
      8 -> GenServer.cast(pid, {:noreply, operation})
      9 -> GenServer.cast(pid, {:noreply_hibernate, operation})
      10 -> GenServer.cast(pid, {:noreply_timeout, operation})
      11 -> GenServer.cast(pid, {{:noreply_continue, States.operation(without: [:fun])}, operation})
      12 -> send(pid, {:operation, operation})
    end
  end

  defp run(kind, pid, operation) when kind in [:machine, :functions, :watched_machine] do
    case integer(1..5) do
      1 -> send(pid, {:operation, operation})
      2 -> :gen_statem.call(pid, {:keep, operation})
      3 -> :gen_statem.call(pid, {:next, operation})
      4 -> :gen_statem.call(pid, {:repeat, operation})
      5 -> :gen_statem.call(pid, {:event, operation})
    end
  end

  defp run(:loop, pid, operation), do: send(pid, {:operation, operation})
  defp run(:agent, pid, operation), do: Agent.update(pid, &States.run(operation, &1))

  defp run(:supervisor, pid, _operation) do
    children = DynamicSupervisor.which_children(pid)

    if children == [] or integer(1..3) > 1 do
      {:ok, _child} = DynamicSupervisor.start_child(pid, {Agent, fn -> 0 end})
    else
      {_id, child, _type, _modules} = one_of(children)
      :ok = DynamicSupervisor.terminate_child(pid, child)
    end
  end

  # Answered when all before it has been done. What a state machine ordered by itself comes first as well.
  defp hold(:loop, pid) do
    ref = make_ref()
    send(pid, {:get, self(), ref})

    receive do
      {^ref, state} -> state
    after
      5_000 -> flunk("the loop does not answer")
    end
  end

  # A continuation, and a look that a state machine ordered, may still come after the first answer.
  defp hold(_kind, pid) do
    :sys.get_state(pid)
    :sys.get_state(pid)
  end

  defp live(kind, rounds, opts \\ []) do
    pid = start(kind)
    operations = for _ <- 1..rounds, do: States.operation(opts)
    {pid, Truth.keep(operations, &run(kind, pid, &1), fn -> hold(kind, pid) end)}
  end

  # -- Answers ------------------------------------------------------------------------------------------------------------

  defp wrong(pid, truth) do
    for {time, state} <- Truth.instants(truth),
        answer = ElixirScope.fetch_state_at(pid, time),
        wrong?(answer, state) do
      {time, state, answer}
    end
  end

  defp wrong?({:ok, answer, _meta}, state), do: not Truth.same?(answer, state)
  defp wrong?(_error, _state), do: true

  defp none!(wrong, what) do
    case wrong do
      [] ->
        :ok

      [{time, state, answer} | _] ->
        flunk("#{what}: #{length(wrong)} wrong; at #{time} #{inspect(state)}\nanswered #{inspect(answer)}")
    end
  end

  for kind <- [:server, :machine, :functions, :loop, :agent, :watched_machine, :supervisor] do
    describe "the past of a #{kind}" do
      setup do
        instrument()
        :ok
      end

      @describetag kind: kind
      test "is what it held at every instant", %{kind: kind} do
        {pid, truth} = live(kind, @rounds)
        pid |> wrong(truth) |> none!(kind)

        # so it says, and nothing of it is doubtful
        unless kind == :watched_machine do
          for {time, _state} <- Truth.instants(truth) do
            assert {:ok, _state, %{quality: quality}} = ElixirScope.fetch_state_at(pid, time)
            assert quality in [:exact, :unverified]
          end
        end

        {_from, _to, last} = List.last(truth)
        assert ElixirScope.get_state_at(pid, :last) == last
        assert ElixirScope.status().timelines.mismatches == 0
      end

      test "is a history without a gap", %{kind: kind} do
        {pid, truth} = live(kind, 60)
        history = ElixirScope.get_state_history(pid, limit: :infinity)
        assert Enum.all?(history, &match?(%Events.StateChange{pid: ^pid}, &1))
        assert history == Enum.sort_by(history, & &1.id)

        for [one, next] <- Enum.chunk_every(history, 2, 1, :discard), kind != :watched_machine do
          assert next.old_state == one.new_state
        end

        # at every instant the state is what the newest change before left
        for {time, state} <- Truth.instants(truth) do
          assert List.last(Enum.take_while(history, &(&1.timestamp <= time))).new_state == state
        end

        # pages are the same, in either direction
        assert pages(pid, :after, 0) == history
        assert pages(pid, :before, List.last(history).id + 1) == history
        assert ElixirScope.get_state_history(pid, limit: 7) == Enum.take(history, -7)
        {_from, to, _state} = Enum.at(truth, 20)
        assert ElixirScope.get_state_history(pid, until: to) == Enum.filter(history, &(&1.timestamp <= to))
      end

      test "differs between two instants as its states do", %{kind: kind} do
        {pid, truth} = live(kind, 60)
        instants = Truth.instants(truth)

        for _ <- 1..200 do
          [{from, old}, {to, new}] = Enum.sort_by([one_of(instants), one_of(instants)], &elem(&1, 0))
          assert {:ok, changes} = ElixirScope.get_state_diff(pid, from, to)
          {told, true_ones} = {comparable(changes), comparable(Truth.diff(old, new))}
          assert told == true_ones, inspect(too_many: told -- true_ones, missing: true_ones -- told)
        end

        for change <- ElixirScope.get_state_history(pid), change.old_state != nil do
          assert comparable(change.state_diff) == comparable(Truth.diff(change.old_state, change.new_state))
        end
      end

      test "has a last change of each path", %{kind: kind} do
        {pid, _truth} = live(kind, 60)
        history = ElixirScope.get_state_history(pid, limit: :infinity)
        paths = history |> Enum.flat_map(&Truth.paths(&1.new_state)) |> Enum.uniq()

        for path <- [[] | Enum.take_random(paths, 120)] do
          touched = touched(history, path, kind in [:server, :machine, :functions])
          assert answer(ElixirScope.last_change(pid, path)) == id(List.last(touched)), inspect(path)
          time = one_of(history).timestamp + one_of([0, 1])
          before = Enum.filter(touched, &(&1.timestamp <= time))

          assert answer(ElixirScope.last_change(pid, path, before: time)) == id(List.last(before)),
                 inspect(path)

          later = Enum.filter(touched, &(&1.timestamp > time))

          assert answer(ElixirScope.last_change(pid, path, after: time)) == id(List.first(later)),
                 inspect(path)
        end

        assert ElixirScope.last_change(pid, [:never_there]) == {:error, :never_changed}
      end
    end
  end

  # The state that a process begins with touches what is in it. Of one that was begun before, nobody knows what changed in the first
  # state that was recorded.
  defp touched([first | _] = history, path, begun?) do
    later =
      for [one, next] <- Enum.chunk_every(history, 2, 1, :discard),
          not Truth.same?(Truth.fetch(one.new_state, path), Truth.fetch(next.new_state, path)),
          do: next

    if begun? and Truth.there?(first.new_state, path), do: [first | later], else: later
  end

  defp answer(%Events.StateChange{id: id}), do: id
  defp answer({:error, :never_changed}), do: nil

  defp id(nil), do: nil
  defp id(%{id: id}), do: id

  defp comparable(changes) do
    changes
    |> Enum.map(fn change ->
      old = if change.op != :added, do: {:value, change.old}
      new = if change.op != :removed, do: {:value, change.new}
      {change.path, change.op, old, new}
    end)
    |> Enum.sort()
  end

  defp pages(pid, :after, id) do
    case ElixirScope.get_state_history(pid, after: id, limit: 7) do
      [] -> []
      page -> page ++ pages(pid, :after, List.last(page).id)
    end
  end

  defp pages(pid, :before, id) do
    case ElixirScope.get_state_history(pid, before: id, limit: 7) do
      [] -> []
      page -> pages(pid, :before, hd(page).id) ++ page
    end
  end

  # -- What speaks against it ---------------------------------------------------------------------------------------------

  defp quality({_time, _state, {:ok, _answer, %{quality: quality}}}), do: quality
  defp quality({_time, _state, {:error, reason}}), do: reason

  describe "a state that was replaced behind the back" do
    for kind <- [:server, :machine, :functions] do
      @tag kind: kind
      test "is seen at the next callback or stays unproved, and what was before it is doubtful (#{kind})", %{
        kind: kind
      } do
        instrument()
        pid = start(kind)

        operations =
          for n <- 1..@rounds,
              do: if(rem(n, 10) == 0, do: {:replace, States.operation()}, else: States.operation())

        run = fn
          {:replace, operation} -> replace(kind, pid, operation)
          operation -> run(kind, pid, operation)
        end

        truth = Truth.keep(operations ++ [{:change, :count, 1}], run, fn -> hold(kind, pid) end)
        wrong = wrong(pid, truth)
        assert wrong != [], "the test replaces states that nobody sees"
        qualities = Enum.frequencies_by(wrong, &quality/1)
        # a fingerprint does not see what was replaced deep inside; but then nothing proves the state
        assert Map.keys(qualities) -- [:approximate, :unverified] == []
        assert qualities.approximate > 0
        {_from, _to, last} = List.last(truth)
        assert ElixirScope.get_state_at(pid, :last) == last
      end
    end

    # So many, that whole states would come to prove what was before them.
    test "is never called exact where the process is watched" do
      for {kind, rounds} <- [agent: 3_000, watched_machine: @rounds] do
        pid = start(kind)

        operations =
          for n <- 1..rounds,
              do: if(rem(n, 10) == 0, do: {:replace, States.operation()}, else: States.operation())

        run = fn
          {:replace, operation} -> replace(kind, pid, operation)
          operation -> run(kind, pid, operation)
        end

        truth = Truth.keep(operations, run, fn -> hold(kind, pid) end)
        wrong = wrong(pid, truth)
        assert wrong != []
        assert :exact not in Enum.map(wrong, &quality/1)
      end
    end

    # Deeper than any fingerprint looks; and the next callback writes over just what was replaced, so that its delta would
    # lead to the right state from the wrong one.
    test "is never called exact where a callback writes over what was replaced" do
      instrument()
      deep = fn n -> [1, 2, {3, %{n: n}, n * 1.0, "#{n}", Enum.to_list(1..rem(n, 5)//1)}] end
      put = &put_in(&1, [:a, :b, :c, :d, :e, :f], deep.(&2))
      state = put.(%{a: %{b: %{c: %{d: %{e: %{f: nil}}}}}, pad: Enum.to_list(1..30)}, 0)
      {:ok, pid} = Server.start_link(state)

      run = fn
        {:replace, n} -> :sys.replace_state(pid, &put.(&1, n))
        {:whole, n} -> GenServer.call(pid, {:reply, {:whole, put.(state, n)}})
      end

      # in the second half all is seen
      operations = for n <- 1..4_000, do: {if(rem(n, 10) == 0 and n < 2_000, do: :replace, else: :whole), n}
      truth = Truth.keep(operations, run, fn -> :sys.get_state(pid) end)
      wrong = wrong(pid, truth)
      assert wrong != [], "the test replaces states that nobody sees"
      assert :exact not in Enum.map(wrong, &quality/1)

      exact =
        for {time, _state} <- Truth.instants(truth),
            {:ok, _, %{quality: :exact}} <- [ElixirScope.fetch_state_at(pid, time)],
            do: time

      assert exact != [], "no whole state came to prove anything"
    end
  end

  defp replace(kind, pid, operation) when kind in [:machine, :functions, :watched_machine],
    do: :sys.replace_state(pid, fn {name, data} -> {name, States.run(operation, data)} end)

  defp replace(_kind, pid, operation), do: :sys.replace_state(pid, &States.run(operation, &1))

  describe "losses" do
    # A state that is too big for the ring is lost for certain, others when it is full.
    @tag recorder: [
           capture: [buffer_bytes: 16_384, total_bytes: 65_536],
           storage: [memory_limit: 128 * 1_048_576],
           traces: [max: 1_000_000, rate: 1_000_000]
         ]
    test "never make an exact answer wrong, and all that they make wrong is marked" do
      instrument()

      for kind <- [:server, :machine, :functions, :loop, :agent] do
        {pid, truth} = live(kind, @rounds, largest: 40_000)
        wrong = wrong(pid, truth)
        assert wrong == [] or :exact not in Enum.map(wrong, &quality/1), inspect(kind)

        if kind != :agent,
          do:
            assert(
              Enum.uniq(Enum.map(wrong, &quality/1)) -- [:approximate, :no_state_recorded] == [],
              inspect(kind)
            )
      end

      lost = ElixirScope.status().capture.lost |> Map.values() |> Enum.sum()
      assert lost > 0, "the test loses nothing"
    end
  end

  describe "the NIF interface alone" do
    @tag recorder: [
           capture: [raw_terms: false],
           storage: [memory_limit: 128 * 1_048_576],
           traces: [max: 1_000_000, rate: 1_000_000]
         ]
    test "tells the same of all but funs, and a state with a fun is approximate" do
      instrument()

      for kind <- [:server, :machine, :loop, :agent] do
        {pid, truth} = live(kind, @rounds, without: [:fun])
        pid |> wrong(truth) |> none!(kind)

        {pid, truth} = live(kind, @rounds)

        for {time, state} <- Truth.instants(truth) do
          {:ok, answer, meta} = ElixirScope.fetch_state_at(pid, time)
          assert blind(answer) == blind(state)
          if marks?(answer), do: assert(meta.quality == :approximate)
        end
      end
    end
  end

  describe "a budget" do
    @tag recorder: [
           capture: [max_state_bytes: 700],
           storage: [memory_limit: 128 * 1_048_576],
           traces: [max: 1_000_000, rate: 1_000_000]
         ]
    test "cuts a state, which says so" do
      instrument()

      for kind <- [:server, :machine, :functions, :loop] do
        {pid, truth} = live(kind, @rounds)
        assert Enum.uniq(Enum.map(wrong(pid, truth), &quality/1)) -- [:approximate] == []
      end
    end
  end

  describe "masked values" do
    test "stay masked, and their changes are changes from one mark to another" do
      instrument()
      pid = begin(Server)
      before = ElixirScope.now()
      GenServer.call(pid, {:reply, {:whole, %{password: "one", user: "Ann"}}})
      between = ElixirScope.now()
      GenServer.call(pid, {:reply, {:whole, %{password: "two", user: "Ann"}}})

      assert {:ok, %{password: %Redacted{}, user: "Ann"}, %{redacted: 1}} =
               ElixirScope.fetch_state_at(pid, :last)

      assert {:ok, [change]} = ElixirScope.get_state_diff(pid, between, :last)
      assert change == %{path: [:password], op: :changed, old: %Redacted{}, new: %Redacted{}}
      assert %{} = ElixirScope.last_change(pid, [:password], after: between)
      assert {:error, :no_state_recorded} = ElixirScope.get_state_at(pid, before - 1_000_000_000)
    end
  end

  # Without what the NIF interface cannot see.
  defp blind(fun) when is_function(fun), do: :fun
  defp blind(%Truncated{kind: :fun_env}), do: :fun
  defp blind(%struct{} = value), do: {struct, value |> Map.from_struct() |> blind()}
  defp blind(map) when is_map(map), do: Map.new(map, fn {key, value} -> {blind(key), blind(value)} end)
  defp blind([head | tail]), do: [blind(head) | blind(tail)]
  defp blind(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> blind() |> List.to_tuple()
  defp blind(other), do: other

  defp marks?(value), do: elem(ElixirScope.Replay.Render.marks(value), 1) > 0
end
