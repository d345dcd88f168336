defmodule ElixirScope.Tracing.HostileTest do
  use ElixirScope.Test.RecorderCase

  import ElixirScope.Test.Traces

  alias ElixirScope.Tracing
  alias ElixirScopeTest.{Traced, Watchable}

  @moduletag timeout: 120_000

  setup do
    on_exit(fn ->
      ElixirScope.untrace(:all)
      until(fn -> left() == [] end, "all flags and patterns to be gone")
    end)
  end

  # What a node under load does all the time.
  defp loads do
    {:ok, counter} = Watchable.Counter.start_link(0)

    [
      fn -> GenServer.call(counter, {:add, 1}) end,
      fn -> Task.await(Task.async(fn -> Traced.two(1, 2) end)) end,
      fn -> Task.await(Task.async(fn -> catch_error(Traced.raises(1)) end)) end,
      fn ->
        send(self(), {:some, :message})
        receive do: ({:some, :message} -> :ok)
      end,
      fn -> Traced.outer(fn -> :erlang.garbage_collect() end) end
    ]
  end

  # Traces of all kinds, by somebody who knows nothing of the others.
  defp traces(seed) do
    targets = [
      {:all, []},
      {:new, []},
      {{Traced, :two, 2}, []},
      {{:module, Traced}, [events: [:call]]},
      {{:app, :stdlib}, []},
      {self(), [follow: :spawn]},
      {self(), [follow: :message]},
      {self(), [events: [:gc], link: true]},
      {self(), [events: [:send], only_inside: {Traced, :outer, 1}]}
    ]

    {target, opts} = Enum.at(targets, :erlang.phash2(seed, length(targets)))
    limits = Enum.at([[max: 10], [for: 5], [rate: 50], []], :erlang.phash2({:limits, seed}, 4))
    ElixirScope.trace(target, opts ++ limits)
  end

  test "traces come and go while all that can go wrong does" do
    loads = Enum.map(loads(), &start_load/1)
    me = self()

    people =
      for person <- 1..4 do
        spawn_link(fn ->
          for round <- 1..8 do
            case traces({person, round}) do
              {:ok, ref} -> if rem(round, 3) == 0, do: ElixirScope.untrace(ref)
              {:error, _refused_or_stopped} -> :ok
            end
          end

          send(me, {:done, self()})
        end)
      end

    # Whoever asks waits for the next one, so that these may not be too many.
    harm =
      for harm <- [&kill/0, &stop_and_start/0, &reload/0] do
        spawn_link(fn ->
          for _ <- 1..6 do
            harm.()
            # and something may come of what was asked meanwhile
            Process.sleep(150)
          end

          send(me, {:done, self()})
        end)
      end

    for pid <- people ++ harm, do: assert_receive({:done, ^pid}, 100_000)
    for load <- loads, do: next_round(load)

    :ok = ElixirScope.start()
    until(fn -> ElixirScope.untrace(:all) == :ok end)
    until(fn -> left() == [] end, "all flags and patterns to be gone")
    assert ElixirScope.status().traces == []

    # and it works as ever
    worker = worker()
    assert {:ok, ref} = ElixirScope.trace(worker, functions: [{Traced, :one, 1}], max: 2)
    run(worker, fn -> Traced.one(1) end)
    assert ending(ref) == :max
    for load <- loads, do: next_round(load)
    Enum.each(loads, &stop_load/1)
  end

  defp kill do
    server = until(&Tracing.server/0)
    Process.exit(server, :kill)
  end

  defp stop_and_start do
    ElixirScope.stop()
    ElixirScope.start()
  end

  defp reload do
    :code.purge(Traced)
    {:module, Traced} = :code.load_file(Traced)
  end

  test "untrace(:all) leaves nothing while all processes are busy" do
    loads = Enum.map(loads(), &start_load/1)

    for round <- 1..4 do
      for person <- 1..3, do: traces({person, round})
      assert ElixirScope.untrace(:all) == :ok
      assert_nothing_left()
    end

    Enum.each(loads, &stop_load/1)
  end
end
