defmodule ElixirScope.SwitchTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.Instrument.Switches
  alias ElixirScope.{Native, Site}
  alias ElixirScope.Test.Generate

  setup do
    on_exit(fn -> Switches.apply(%{strategy: nil, rules: []}) end)
    # No other test has seen the sites of this one.
    %{unique: System.unique_integer([:positive])}
  end

  @roles [
    mark: :mark,
    chosen: :chosen,
    callback: {:callback, GenServer, nil, nil},
    public: :public,
    private: :private
  ]

  defp site(module, function, arity, role, unique),
    do: Site.new({module, function, arity, "lib/#{unique}.ex", 1, 1, [], role})

  defp switch(strategy, rules), do: :ok = Native.switch(%{strategy: strategy, rules: rules})

  # Whether a call at the site records.
  defp on?(site) do
    token = Native.enter_0(site)
    Native.exit(site, token, :ok)
    token != -1
  end

  for path <- [:auto, false] do
    describe "with raw_terms: #{path}, switch/1" do
      @describetag recorder: [capture: [raw_terms: path]]

      test "chooses by strategy", %{unique: unique} do
        taken = %{
          nil: Keyword.keys(@roles),
          minimal: [:mark, :chosen, :callback],
          balanced: [:mark, :chosen, :callback, :public],
          full_trace: Keyword.keys(@roles)
        }

        seen = for {name, role} <- @roles, do: {name, site(Seen, name, 0, role, unique)}
        assert Enum.all?(seen, fn {_name, site} -> on?(site) end)

        for {strategy, on} <- taken do
          switch(strategy, [])

          unseen =
            for {name, role} <- @roles,
                do: {name, site(Unseen, name, 0, role, {unique, strategy} |> :erlang.phash2())}

          assert for({name, site} <- seen, on?(site), do: name) == on
          assert for({name, site} <- unseen, on?(site), do: name) == on
        end
      end

      test "takes the last rule that matches, for sites seen before and after", %{unique: unique} do
        sites = fn phase ->
          [
            f1: site(A, :f, 1, :public, {unique, phase} |> :erlang.phash2()),
            f2: site(A, :f, 2, :public, {unique, phase} |> :erlang.phash2()),
            g1: site(A, :g, 1, :private, {unique, phase} |> :erlang.phash2()),
            b: site(B, :f, 1, :private, {unique, phase} |> :erlang.phash2())
          ]
        end

        seen = sites.(:seen)
        for {_name, site} <- seen, do: assert(on?(site))

        for {strategy, rules, on} <- [
              {nil, [{A, false}], [:b]},
              {nil, [{{A, :f, 1}, false}], [:f2, :g1, :b]},
              {nil, [{A, false}, {{A, :f, 1}, true}], [:f1, :b]},
              {nil, [{{A, :f, 1}, true}, {A, false}], [:b]},
              {:balanced, [{B, true}], [:f1, :f2, :b]},
              {:minimal, [{{A, :g, 1}, true}], [:g1]},
              {:full_trace, [{{A, :f, 3}, false}, {C, false}], [:f1, :f2, :g1, :b]},
              {nil, [], [:f1, :f2, :g1, :b]}
            ] do
          switch(strategy, rules)

          for all <- [seen, sites.({strategy, rules})],
              do: assert(for({name, site} <- all, on?(site), do: name) == on, inspect({strategy, rules}))
        end
      end

      test "switches marks by rules, whatever the strategy", %{unique: unique} do
        site = site(Marked, :f, 1, :mark, unique)

        mark_all = fn ->
          Native.event(site, :name, nil)
          Native.metric(site, :name, 1, nil, nil)
          Native.snapshot(site, %{a: 1})
          Native.message(site, :send, self(), :hello)
          Native.spawned(site, self())
          Native.span_stop(site, Native.span_start(site, "span", nil), "span", :normal)
        end

        switch(:minimal, [])
        mark_all.()
        switch(:minimal, [{Marked, false}])
        mark_all.()
        switch(:minimal, [{Marked, false}, {{Marked, :f, 1}, true}])
        mark_all.()

        kinds = [:user_event, :performance_metric, :variable_assignment, :message_send, :process_spawn]
        kinds = kinds ++ [:span_start, :span_stop]
        assert Enum.map(all_events(module: Marked), & &1.event_type) == kinds ++ kinds
      end

      test "leaves the nesting of what is on as it is", %{unique: unique} do
        [outer, hidden, inner] =
          for name <- [:outer, :hidden, :inner], do: site(Nested, name, 0, :public, unique)

        switch(nil, [{{Nested, :hidden, 0}, false}])

        tokens = for site <- [outer, hidden, inner], do: {site, Native.enter_0(site)}
        for {site, token} <- Enum.reverse(tokens), do: Native.exit(site, token, :ok)

        assert [first, second, second_end, first_end] = all_events(module: Nested)
        assert {first.function, second.function, second.parent_id} == {:outer, :inner, first.id}
        assert {second_end.call_id, first_end.call_id} == {second.id, first.id}
      end
    end
  end

  describe "switch/1" do
    @tag recorder: false
    test "needs no recorder, and outlasts recorders", %{unique: unique} do
      # Kept on the Elixir side as well: a start puts what is kept there in effect.
      Switches.apply(%{strategy: nil, rules: [{Off, false}]})
      [off, on] = for module <- [Off, On], do: site(module, :f, 0, :public, unique)

      for _ <- 1..2 do
        :ok = ElixirScope.start()
        assert {on?(off), on?(on)} == {false, true}
        assert [%{module: On}, %{module: On}] = all_events()
        :ok = ElixirScope.stop()
      end
    end

    test "works while processes record, and new sites appear", %{unique: unique} do
      known = site(Busy, :known, 0, :public, unique)
      hot = site(Hot, :known, 0, :public, unique)

      # Few enough to leave the table of sites, which never forgets one, its room.
      fresh = :atomics.new(1, [])

      loads =
        for _ <- 1..3 do
          start_load(fn ->
            for _ <- 1..20, do: on?(known) or on?(hot)
            on?(hot)
            Process.sleep(1)
            number = :atomics.add_get(fresh, 1, 1)
            if number < 20_000, do: on?(site(Busy, :new, 0, :public, :erlang.phash2({unique, number})))
          end)
        end

      for round <- 1..12 do
        is_off = rem(round, 2) == 1
        switch(nil, [{Busy, not is_off}])
        Enum.each(loads, &next_round/1)
        # What was recorded since then, all of it begun after the switch.
        last = List.last(ElixirScope.get_events(limit: 1)).id
        Enum.each(loads, &next_round/1)
        assert ElixirScope.count_events(module: Hot, where: [{[:id], :>, last}]) > 0
        busy = ElixirScope.count_events(module: Busy, where: [{[:id], :>, last}])
        assert if(is_off, do: busy == 0, else: busy > 0), "round #{round}: #{busy}"
      end

      Enum.each(loads, &stop_load/1)
      assert ElixirScope.status().faults.panics == 0
    end

    test "raises when it is given what is no set of switches, and changes nothing", %{unique: unique} do
      site = site(Kept, :f, 0, :public, unique)
      switch(nil, [{Kept, false}])

      for wrong <- [
            nil,
            %{},
            %{strategy: nil},
            %{strategy: :all, rules: []},
            %{strategy: nil, rules: [:rule]},
            %{strategy: nil, rules: [{Kept, 1}]},
            %{strategy: nil, rules: [{{Kept, :f}, true}]},
            %{strategy: nil, rules: [{{Kept, :f, -1}, true}]},
            %{strategy: nil, rules: [{Kept, true} | :more]}
          ] do
        assert_raise ArgumentError, fn -> Native.switch(wrong) end
        refute on?(site)
      end
    end
  end

  describe "a site that is none" do
    test "is recorded without a place, whatever it is, by every call" do
      Generate.seed()

      odd = [
        {1, {Enum, :map, 0, "", 0, 0, []}},
        {1, {Enum, :map, 0, "", 0, 0, [], :no_role}},
        {1, {Enum, :map, 0, "", 0, 0, [], {:callback, GenServer}}},
        {1, {Enum, :map, 0, "", 0, 0, [], {:callback, GenServer, {:call, -1, 0}, nil}}},
        {1, {Enum, :map, 0, "", 0, 0, [], {:callback, GenServer, {:post, 0, 0}, nil}}},
        {1, {Enum, :map, 0, ~c"file", 0, 0, [], :mark}},
        {0, {Enum, :map, 0, "", 0, 0, [], :mark}},
        {Bitwise.bsl(1, 62) + 5, {Enum, :map, 0, "", 0, 0, [], :mark}},
        {Bitwise.bsl(1, 70), {Enum, :map, 0, "", 0, 0, [], :mark}},
        {-1, {Enum, :map, 0, "", 0, 0, [], :mark}}
      ]

      for path <- [:auto, false], site <- odd ++ for(_ <- 1..200, do: Generate.term()) do
        Native.raw_terms(path)
        assert Native.event(site, :name, nil) == :ok
        assert Native.metric(site, :name, 1, nil, nil) == :ok
        assert Native.snapshot(site, %{}) == :ok
        assert Native.message(site, :send, self(), 1) == :ok
        assert Native.spawned(site, self()) == :ok
        assert is_integer(token = Native.enter_1(site, 1))
        assert Native.loop_state(site, token, 1) == :ok
        assert Native.exit_callback(site, token, {:noreply, 1}, 2, 3) == :ok
        assert Native.exit_void(site, Native.span_start(site, :name, nil)) == :ok
      end

      Native.raw_terms(:auto)
      assert ElixirScope.count_events(module: Enum) == 0
      assert ElixirScope.count_events(event_type: :process_spawn) == 420
      assert ElixirScope.status().faults.panics == 0
    end
  end
end
