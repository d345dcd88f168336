defmodule ElixirScope.Travel.ArgumentsTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.{Error, StateReconstruction}
  alias ElixirScope.Test.NoTimes
  alias ElixirScopeTest.Watchable.Counter

  # Each question that names a process, with arguments that are right but for it.
  defp doors do
    [
      &ElixirScope.get_state_at(&1, :last),
      &ElixirScope.fetch_state_at(&1, 0, []),
      &ElixirScope.get_state_history/1,
      &ElixirScope.get_state_diff(&1, 0, :last),
      &ElixirScope.last_change(&1, [:key]),
      &StateReconstruction.Engine.reconstruct_state_at(&1, 0),
      &StateReconstruction.Engine.get_state_diff(&1, 0, 1)
    ]
  end

  # what a process of another node looks like: NEW_PID_EXT of the external term format
  defp remote, do: :erlang.binary_to_term(<<131, 88, 119, 12, "other@nohost", 1::32, 0::32, 1::32>>)

  describe "a question about the past" do
    test "refuses what is no pid" do
      for door <- doors(), wrong <- [nil, :name, "<0.1.0>", [self()], make_ref()] do
        assert {:error, %Error{reason: {:invalid_option, :pid, ^wrong, "a pid"}}} = door.(wrong)
      end

      assert message_of(ElixirScope.get_state_at(:cart, :last)) ==
               "invalid value for option :pid: expected a pid, got: :cart"
    end

    test "names the node of a process that is not here" do
      for door <- doors(), do: assert(door.(remote()) == {:error, {:remote, :other@nohost}})
    end

    @tag recorder: false
    test "is not answered while the recorder does not run" do
      for door <- doors(), do: assert(door.(self()) == {:error, :not_running})
    end

    test "tells of a process of which nothing was ever recorded" do
      silent = spawn_link(fn -> Process.sleep(:infinity) end)
      for door <- doors(), do: assert(door.(silent) == {:error, :no_state_recorded})
    end

    test "refuses a time of another kind" do
      expected = "integer nanoseconds or a DateTime, or :last"

      for wrong <- [nil, 1.5, "now", :now, ~N[2024-01-01 00:00:00], {1, 2}, {:wall, 1} | NoTimes.all()] do
        for {key, answer} <- [
              time: ElixirScope.get_state_at(self(), wrong),
              time: ElixirScope.fetch_state_at(self(), wrong),
              from: ElixirScope.get_state_diff(self(), wrong, 0),
              to: ElixirScope.get_state_diff(self(), 0, wrong)
            ] do
          assert {:error, %Error{reason: {:invalid_option, ^key, ^wrong, ^expected}}} = answer
        end
      end
    end

    test "refuses a time before which another one should be" do
      now = ElixirScope.now()
      {:ok, later} = DateTime.from_unix(System.os_time(:nanosecond) + 1_000_000_000, :nanosecond)

      for {from, to} <- [{now, now - 1}, {:last, now}, {later, now}] do
        assert {:error, %Error{reason: {:invalid_option, :from, ^from, "a time not after :to"}}} =
                 ElixirScope.get_state_diff(self(), from, to)
      end
    end

    test "refuses options that it does not know, and values of another kind" do
      assert message_of(ElixirScope.get_state_at(self(), :last, modul: Enum)) =~ "unknown option :modul"
      assert message_of(ElixirScope.get_state_at(self(), :last, module: "Enum")) =~ "expected an atom"
      assert message_of(ElixirScope.get_state_diff(self(), 0, 1, :module)) =~ "a keyword list of options"

      assert message_of(ElixirScope.get_state_history(self(), event_type: :all)) =~
               "unknown option :event_type"

      assert message_of(ElixirScope.get_state_history(self(), pid: self())) =~ "unknown option :pid"
      assert message_of(ElixirScope.get_state_history(self(), limit: 0)) =~ "a positive integer or :infinity"

      for wrong <- NoTimes.all() do
        assert {:error, %Error{reason: {:invalid_option, :since, ^wrong, _expected}}} =
                 ElixirScope.get_state_history(self(), since: wrong)
      end

      assert message_of(ElixirScope.get_state_history(self(), since: 2, until: 1)) =~
               "a time not before :since"
    end
  end

  describe "last_change/3" do
    test "refuses what is no path" do
      for wrong <- [nil, :key, %{}, {:a, :b}, [:a | :b], "key"] do
        assert {:error, %Error{reason: {:invalid_option, :path, ^wrong, "a list of keys and indexes"}}} =
                 ElixirScope.last_change(self(), wrong)
      end

      long = Enum.to_list(1..65)

      assert {:error,
              %Error{reason: {:invalid_option, :path, ^long, "a list of at most 64 keys and indexes"}}} =
               ElixirScope.last_change(self(), long)
    end

    test "looks in one direction" do
      assert message_of(ElixirScope.last_change(self(), [:a], before: 1, after: 2)) =~
               "expected one of the options :before and :after"

      for key <- [:before, :after], wrong <- [:last, nil, 1.5 | NoTimes.all()] do
        assert {:error, %Error{reason: {:invalid_option, ^key, ^wrong, "integer nanoseconds or a DateTime"}}} =
                 ElixirScope.last_change(self(), [:a], [{key, wrong}])
      end
    end
  end

  describe "the answer" do
    setup do
      {:ok, counter} = Counter.start_link(0)
      early = ElixirScope.now()
      {:ok, _ref} = ElixirScope.watch(counter)
      first = ElixirScope.now()
      1 = GenServer.call(counter, {:add, 1})
      1 = GenServer.call(counter, :get)
      %{counter: counter, early: early, first: first}
    end

    test "before the first state is none", %{counter: counter, early: early} do
      assert ElixirScope.get_state_at(counter, early) == {:error, :no_state_recorded}
      assert ElixirScope.get_state_at(counter, -0x8000_0000_0000_0000_0000) == {:error, :no_state_recorded}
      assert {:error, :no_state_recorded} = ElixirScope.get_state_diff(counter, early, :last)
    end

    test "takes times beyond all, and DateTime", %{counter: counter, first: first} do
      assert ElixirScope.get_state_at(counter, 0x8000_0000_0000_0000_0000) == 1
      assert ElixirScope.get_state_at(counter, first) == 0
      assert ElixirScope.get_state_at(counter, DateTime.utc_now()) == 1
      assert ElixirScope.get_state_diff(counter, first, DateTime.utc_now()) == {:ok, [change([], 0, 1)]}
      assert ElixirScope.get_state_diff(counter, :last, :last) == {:ok, []}
    end

    test "tells what it rests on, and whether the process lives", %{counter: counter} do
      assert {:ok, 1, meta} = ElixirScope.fetch_state_at(counter, :last)
      assert %{module: Counter, alive: true, redacted: 0, replayed: replayed, recorded_at: at} = meta
      assert replayed >= 0 and at < ElixirScope.now()
      assert [%{id: id}] = ElixirScope.get_state_history(counter, limit: 1)
      assert meta.event_id == id
      assert meta.quality in [:unverified, :exact]

      Process.unlink(counter)
      Process.exit(counter, :kill)
      until_dead(counter)
      assert {:ok, 1, %{alive: :unknown}} = ElixirScope.fetch_state_at(counter, :last)
    end

    test "is about one module", %{counter: counter} do
      assert ElixirScope.get_state_at(counter, :last, module: Counter) == 1
      assert ElixirScope.get_state_at(counter, :last, module: Enum) == {:error, :no_state_recorded}
      assert ElixirScope.last_change(counter, [], module: Enum) == {:error, :no_state_recorded}
    end

    test "of a history is a list, though nothing falls into its time", %{counter: counter, early: early} do
      assert [_first, %{old_state: 0, new_state: 1}] = ElixirScope.get_state_history(counter)
      assert ElixirScope.get_state_history(counter, until: early) == []
    end

    test "of a path that never existed says so", %{counter: counter} do
      assert ElixirScope.last_change(counter, [:nowhere]) == {:error, :never_changed}
      assert ElixirScope.last_change(counter, [0, 1]) == {:error, :never_changed}
      assert %{new_state: 1} = ElixirScope.last_change(counter, [])
    end

    test "is the same through the engine", %{counter: counter, first: first} do
      assert StateReconstruction.Engine.reconstruct_state_at(counter, first) == {:ok, 0}
      assert StateReconstruction.Engine.get_state_diff(counter, first, :last) == {:ok, [change([], 0, 1)]}
    end
  end

  defp change(path, old, new), do: %{path: path, op: :changed, old: old, new: new}
end
