defmodule ElixirScope.Travel.SharingTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.Test.Generate
  alias ElixirScopeTest.Travel.{Server, States}

  @moduletag recorder: [storage: [memory_limit: 64 * 1_048_576]]

  setup do
    :ok = ElixirScope.instrument(Server)

    on_exit(fn ->
      ElixirScope.start()
      ElixirScope.uninstrument(Server)
      ElixirScope.stop()
    end)
  end

  defp base do
    %{
      count: 1,
      items: Map.new(1..60, &{&1, %{name: "item #{&1}", tags: [&1, :a, {&1, "b"}]}}),
      log: for(n <- 1..60, do: {n, "entry #{n}"}),
      pair: {Enum.to_list(1..40), %{deep: %{er: [1, 2, [3 | "improper"]]}}}
    }
  end

  # From one state to the next, and how much of it is new, in words, at most.
  defp steps do
    [
      {"a field", &%{&1 | count: 2}, 60},
      {"an entry of a map", &put_in(&1, [:items, 30, :name], "other"), 2_000},
      {"a key more", &put_in(&1, [:items, 0], "new"), 2_000},
      {"a key less", &%{&1 | items: Map.delete(&1.items, 7)}, 2_000},
      {"elements before a list", &%{&1 | log: [:new, :newer | &1.log]}, 400},
      {"elements behind a list", &%{&1 | log: &1.log ++ [:new, {:newer, 1}]}, 400},
      {"a list without its head", &%{&1 | log: tl(&1.log)}, 400},
      {"an element of a list", &%{&1 | log: List.replace_at(&1.log, 30, :other)}, 400},
      {"one taken out of a list", &%{&1 | log: List.delete_at(&1.log, 30)}, 400},
      {"deep in a tuple", &put_in(&1, [:pair, Access.elem(1), :deep, :er], []), 200},
      {"two places", &%{&1 | count: 3, pair: {[], elem(&1.pair, 1)}}, 200}
    ]
  end

  describe "the states of a change" do
    test "are one in memory where they are alike" do
      for {what, step, most} <- steps() do
        {old, new} = {base(), step.(base())}
        {:ok, pid} = Server.start_link(old)
        GenServer.call(pid, {:reply, {:whole, new}})

        for change <- [ElixirScope.last_change(pid, []), List.last(ElixirScope.get_state_history(pid))] do
          assert {change.old_state, change.new_state} === {old, new}, what
          both = :erts_debug.size({change.old_state, change.new_state})
          assert both - :erts_debug.size(change.old_state) <= most, "#{what}: #{both} words"
        end
      end
    end

    test "are what they were, whatever they have in common" do
      :rand.seed(:exsss, {String.to_integer(System.get_env("SEED", "4")), 5, 6})
      {:ok, pid} = Server.start_link(States.new())

      for _ <- 1..400 do
        old = :sys.get_state(pid)
        # parts of the old state in other places of the new one
        parts = if is_map(old), do: Map.values(old), else: [old]

        new =
          case Generate.integer(1..4) do
            1 -> Map.new(Enum.shuffle(parts), &{Generate.integer(1..50), &1})
            2 -> %{count: List.to_tuple(Enum.shuffle(parts)), log: Enum.shuffle(parts) ++ parts}
            3 -> %{States.new() | count: [Generate.one_of(parts) | Generate.one_of(parts)]}
            4 -> States.run(States.operation(without: [:fun]), States.new())
          end

        GenServer.call(pid, {:reply, {:whole, new}})
        change = ElixirScope.last_change(pid, [])

        if old !== new do
          assert {change.old_state, change.new_state} === {old, new}
          assert change.new_state |> :erlang.term_to_binary() |> :erlang.binary_to_term() === new
        end
      end
    end
  end
end
