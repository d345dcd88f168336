defmodule ElixirScope.CaptureTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.{Redacted, Site, Truncated}

  doctest ElixirScope.Truncated
  doctest ElixirScope.Redacted

  defmodule User do
    defstruct [:name, :password]
  end

  describe "masks" do
    test "stand in the place of secrets in maps, structs and keyword lists, by atom and by string" do
      Trace.event(:login, %{
        :password => "hunter2",
        "token" => "abc",
        :user => %User{name: "ann", password: "hunter2"},
        :opts => [api_key: "xyz", port: 80],
        :deep => [{:a, %{secret: {1, 2}}}],
        :plain => 1
      })

      assert the_event().data == %{
               :password => %Redacted{},
               "token" => %Redacted{},
               :user => %User{name: "ann", password: %Redacted{}},
               :opts => [api_key: %Redacted{}, port: 80],
               :deep => [{:a, %{secret: %Redacted{}}}],
               :plain => 1
             }
    end

    test "stand in the place of HTTP headers, however they are written" do
      Trace.event(:request, [
        {"Authorization", "Basic x"},
        {"X-API-Key", "y"},
        {String.to_charlist("cookie"), "z"},
        {"Host", "h"}
      ])

      assert [%Redacted{}, %Redacted{}, %Redacted{}, "h"] = for({_name, value} <- the_event().data, do: value)
    end

    test "cover the spellings that other languages and protocols have" do
      large = Map.new(1..40, &{&1, &1})

      for key <-
            [:apiKey, :accessToken, :CreditCard, :"API-KEY", "accessToken", "ClientSecret", "PRIVATE-KEY"] ++
              [~c"password", ~c"Authorization"],
          map <- [%{}, large] do
        Trace.event(:spelled, [Map.put(map, key, "hunter2"), {key, "hunter2"}])
        assert [%{^key => %Redacted{}}, {^key, %Redacted{}}] = the_event(limit: 1).data
      end

      Trace.event(:others, %{~c"name" => 1, [0] => 2, :tokens => 3, "keyapi" => 4})
      assert the_event(limit: 1).data == %{~c"name" => 1, [0] => 2, :tokens => 3, "keyapi" => 4}
    end

    test "stand in the place of arguments that are named so" do
      site = Site.new({Accounts, :login, 2, "lib/accounts.ex", 3, 1, [:name, :password], :public})
      token = ElixirScope.Native.enter_2(site, "ann", "hunter2")
      ElixirScope.Native.exit(site, token, :ok)
      assert the_event(event_type: :function_entry).args == ["ann", %Redacted{}]
    end

    test "of arguments are those of the site, however many take turns, and of the newest configuration" do
      sites =
        for n <- 1..600,
            do:
              Site.new(
                {Accounts, :set, 2, "lib/accounts.ex", n, 1, [:name, Enum.at([:pin, :password], rem(n, 2))],
                 :public}
              )

      call = fn site ->
        ElixirScope.Native.exit_void(site, ElixirScope.Native.enter_2(site, "ann", "1234"))
      end

      masked = fn ->
        for event <- all_events(event_type: :function_entry), do: match?(["ann", %Redacted{}], event.args)
      end

      by_turns = for _ <- 1..600//2, is_odd <- [true, false], do: is_odd

      for _ <- 1..2, do: Enum.each(sites, call)
      assert masked.() == by_turns ++ by_turns

      :ok = ElixirScope.update_config([:capture, :redact], [:pin])
      Enum.each(sites, call)
      assert Enum.take(masked.(), -600) == Enum.map(by_turns, &(not &1))
    end

    test "stand in the place of variables that are named so" do
      password = "hunter2"
      name = "ann"
      Trace.snapshot()
      assert {password, name} == {"hunter2", "ann"}
      assert %{password: %Redacted{}, name: "ann"} = the_event().bindings
    end

    @tag recorder: [capture: [redact: [:pin, "shoe-size"]]]
    test "follow the keys of the configuration" do
      Trace.event(:keys, %{:pin => 1, "pin" => 2, :"shoe-size" => 3, :password => 4})

      assert the_event().data == %{
               :pin => %Redacted{},
               "pin" => %Redacted{},
               :"shoe-size" => %Redacted{},
               :password => 4
             }
    end

    @tag recorder: [capture: [redact: {:only, [:id]}]]
    test "cover all keys but some when told so" do
      Trace.event(:keys, %{id: 7, name: "ann"})
      assert the_event().data == %{id: 7, name: %Redacted{}}
    end

    @tag recorder: [capture: [redact: false]]
    test "can be switched off" do
      Trace.event(:keys, %{password: "hunter2"})
      assert the_event().data == %{password: "hunter2"}
    end

    test "keep the secret off the tape: a condition does not find it" do
      Trace.event(:login, %{password: "hunter2"})
      assert ElixirScope.count_events(where: [{[:data, :password], :==, "hunter2"}]) == 0
      assert ElixirScope.count_events(where: [{[:data, :password], :contains, "hunter"}]) == 0
    end
  end

  for path <- [:auto, false] do
    describe "terms read by #{if path, do: "words", else: "the NIF interface"}" do
      @describetag recorder: [capture: [raw_terms: path]]

      @tag recorder: [capture: [raw_terms: path, max_payload_bytes: 1_000_000]]
      test "come back as they were" do
        ElixirScope.Test.Generate.seed()

        for _ <- 1..300 do
          term = ElixirScope.Test.Generate.term()
          Trace.event(:term, term)
          assert the_event(limit: 1).data == term
        end
      end

      @tag recorder: [capture: [raw_terms: path, max_payload_bytes: 1_000_000]]
      test "come back as they were, each kind of them" do
        port = hd(Port.list())

        for term <- [
              0,
              -1,
              Bitwise.bsl(1, 62),
              -Bitwise.bsl(1, 64),
              Bitwise.bsl(1, 5_000),
              0.0,
              1.5e300,
              :"an atom with spaces",
              :äöü,
              "",
              <<1::1>>,
              <<1, 2, 3::7>>,
              binary_part(String.duplicate("sub binary", 20), 3, 100),
              [],
              [1 | 2],
              [[[]]],
              {},
              {1, {2}},
              %{},
              Map.new(1..32, &{&1, &1}),
              Map.new(1..33, &{&1, &1}),
              Map.new(1..300, &{{:key, &1}, &1}),
              self(),
              port,
              make_ref(),
              &Enum.map/2,
              1..3,
              MapSet.new([1, 2]),
              ~U[2024-01-01 00:00:00Z]
            ] do
          Trace.event(:term, term)
          assert the_event(limit: 1).data === term
        end
      end

      test "give up what is beyond the budget of bytes, and say how much" do
        megabyte = :binary.copy("x", 1_000_000)
        Trace.event(:big, megabyte)

        assert %Truncated{kind: :binary, kept: kept, total: 1_000_000, prefix: prefix} =
                 the_event(limit: 1).data

        assert kept == byte_size(prefix) and kept > 1_000 and kept <= 2_048
        assert prefix == binary_part(megabyte, 0, kept)

        Trace.event(:long, Enum.to_list(1..100_000))
        list = the_event(limit: 1).data
        assert {numbers, [%Truncated{kind: :list}]} = Enum.split(list, -1)
        assert numbers == Enum.to_list(1..length(numbers))
        assert length(numbers) > 100

        Trace.event(:wide, Map.new(1..100_000, &{&1, &1}))
        assert %{} = map = the_event(limit: 1).data
        assert map_size(map) < 2_048

        assert Enum.any?(map, fn pair ->
                 match?(%Truncated{}, elem(pair, 0)) or match?(%Truncated{}, elem(pair, 1))
               end)
      end

      test "give up what is too deep" do
        for wrap <- [&[&1], &{&1}, &%{deeper: &1}] do
          Trace.event(:deep, Enum.reduce(1..10_000, :bottom, fn _n, inner -> wrap.(inner) end))
          assert deepest(the_event(limit: 1).data, 0) in 32..64
        end
      end

      test "are cut within closures over terms that share" do
        shared = Enum.reduce(1..30, :leaf, fn _n, inner -> {inner, inner} end)
        Trace.event(:shared, shared)
        Trace.event(:closure, fn -> shared end)
        assert [%{name: :shared}, %{name: :closure, data: data}] = ElixirScope.get_events(pid: self())
        assert is_function(data) or is_struct(data, Truncated)
      end

      test "stay within the budget in a snapshot and a span as well" do
        huge = List.duplicate(:binary.copy("y", 1_000), 1_000)
        Trace.snapshot()

        Trace.span "huge", huge do
          length(huge)
        end

        for event <- ElixirScope.get_events(pid: self()) do
          assert event |> Map.from_struct() |> :erlang.term_to_binary() |> byte_size() < 8_192
        end
      end
    end
  end

  describe "arguments that are no proper list, and sites whose names are none" do
    test "are recorded as they are, and recording goes on" do
      site = Site.new({Accounts, :many, 9, "lib/accounts.ex", 3, 1, [:a, :b], :public})
      ElixirScope.Native.enter_n(site, [1, 2 | 3])
      ElixirScope.Native.enter_n(site, :none)
      odd = put_elem(site, 0, elem(site, 0) + 1) |> put_elem(1, put_elem(elem(site, 1), 6, [:a | :b]))
      ElixirScope.Native.enter_1(odd, 1)

      assert [[1, 2 | 3], :none, [1]] ==
               Enum.map(ElixirScope.get_events(event_type: :function_entry, pid: self()), & &1.args)

      assert ElixirScope.status().faults.panics == 0
    end
  end

  describe "a map whose keys were cut to the same" do
    @tag recorder: [capture: [max_depth: 1]]
    test "keeps one of them and says how many are missing, whatever its size" do
      for size <- [2, 32, 33, 40, 100] do
        cut = %Truncated{kind: :depth, kept: 0, total: 1}
        Trace.event(:cut, Map.new(1..size, &{{&1}, &1}))
        data = the_event(limit: 1).data
        assert map_size(data) == 2 and is_map_key(data, cut)
        assert Enum.any?(Map.keys(data), &(&1.kind == :map and &1.kept == 1))
        assert data === Map.new(Map.to_list(data))
      end
    end
  end

  describe "a ring that overruns" do
    for strategy <- [:drop_newest, :drop_oldest] do
      @tag recorder: [
             capture: [
               buffer_bytes: 65_536,
               total_bytes: 262_144,
               overflow_strategy: strategy,
               max_payload_bytes: 4_096
             ],
             storage: [memory_limit: 512 * 1_048_576]
           ]
      test "reports exactly what it lost, with #{inspect(strategy)}" do
        filler = :binary.copy("z", 3_000)
        offered = 40_000

        writer = spawn(fn -> for n <- 1..offered, do: Trace.event(:n, {n, filler}) end)
        until_dead(writer)

        kept = page_all(writer, 0, [])
        losses = ElixirScope.get_events(event_type: :data_loss, limit: :infinity)
        lost = losses |> Enum.map(& &1.count) |> Enum.sum()

        assert lost > 0
        assert length(kept) + lost == offered
        assert kept == Enum.sort(kept) and kept == Enum.uniq(kept)
        assert ElixirScope.status().capture.lost |> Map.values() |> Enum.sum() == lost

        for %Events.DataLoss{} = loss <- losses do
          assert loss.pid == nil
          assert loss.from <= loss.until
          assert loss.cause in [:dropped_newest, :dropped_oldest]
        end

        assert ElixirScope.Query.Engine.explain(limit: 1).losses != []
      end
    end
  end

  defp deepest([inner | _], depth), do: deepest(inner, depth + 1)
  defp deepest({inner}, depth), do: deepest(inner, depth + 1)
  defp deepest(%{deeper: inner}, depth), do: deepest(inner, depth + 1)
  defp deepest(%Truncated{kind: :depth}, depth), do: depth

  defp page_all(pid, last, numbers) do
    case ElixirScope.get_events(pid: pid, after: last, limit: 5_000) do
      [] -> numbers
      events -> page_all(pid, List.last(events).id, numbers ++ Enum.map(events, &elem(&1.data, 0)))
    end
  end
end
