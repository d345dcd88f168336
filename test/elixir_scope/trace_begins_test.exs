defmodule ElixirScope.TraceBeginsTest do
  # What instrumented code tells is told once, by itself or by the VM, whenever a trace begins and ends, and whoever else traces.
  use ElixirScope.Test.RecorderCase

  alias ElixirScopeTest.{NetworkLog, Networks}

  @moduletag recorder: [
               capture: [buffer_bytes: 32 * 1024 * 1024, total_bytes: 128 * 1024 * 1024],
               storage: [memory_limit: 128 * 1024 * 1024]
             ]

  setup do
    :ok = ElixirScope.instrument(Networks, functions: :all)

    on_exit(fn ->
      ElixirScope.start()
      ElixirScope.untrace(:all)
      ElixirScope.uninstrument(Networks)
      ElixirScope.stop()
      :code.soft_purge(Networks)
    end)

    # So that flags are not set at once.
    idle = for _ <- 1..300, do: spawn(fn -> receive do: (:end -> :ok) end)
    on_exit(fn -> for pid <- idle, do: Process.exit(pid, :kill) end)
    {:ok, log: NetworkLog.new()}
  end

  defp sink, do: receive(do: (_any -> sink()))

  defp poster(log, to) do
    spawn_link(fn -> post(log, to, 1) end)
  end

  defp post(log, to, n) do
    Networks.post(log, to, {:plain, n})

    receive do
      {:stop, from} -> send(from, {:posted, self(), n})
    after
      0 -> post(log, to, n + 1)
    end
  end

  defp stop(poster) do
    send(poster, {:stop, self()})
    assert_receive {:posted, ^poster, count}, 5_000
    count
  end

  defp posted(poster) do
    for %{message: {:plain, n}} <- all_events(pid: poster, event_type: :message_send), do: n
  end

  test "no message is missing and none told twice while the flags of everything are set", %{log: log} do
    sink = spawn_link(&sink/0)

    for _ <- 1..3 do
      poster = poster(log, sink)
      {:ok, ref} = ElixirScope.trace(:all, events: [:send], for: 60_000, max: 1_000_000, rate: 1_000_000)
      count = stop(poster)
      ElixirScope.untrace(ref)
      assert posted(poster) == Enum.to_list(1..count)
    end
  end

  test "what a process sends that somebody else traces is told by its code", %{log: log} do
    sink = spawn_link(&sink/0)
    poster = spawn_link(fn -> receive do: (:go -> post(log, sink, 1)) end)
    :erlang.trace(poster, true, [:procs, {:tracer, sink}])

    {:ok, ref} =
      ElixirScope.trace(:all, events: [:send, :procs], for: 60_000, max: 1_000_000, rate: 1_000_000)

    %{traces: [%{ref: ^ref, left_out: left_out}]} = ElixirScope.status()
    send(poster, :go)
    count = stop(poster)
    ElixirScope.untrace(ref)
    # Where the VM has sessions nobody is in the way.
    unless ElixirScope.Tracing.Session.sessions?(), do: assert(left_out.traced_by_other == 1)
    assert posted(poster) == Enum.to_list(1..count)
  end
end
