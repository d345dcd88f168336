defmodule ElixirScope.ConcurrencyTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.{Native, Site}

  @writers 16
  @events 2_000

  @tag recorder: [storage: [memory_limit: 64 * 1_048_576]]
  test "16 processes write while 4 read and 1 pages, and nothing is lost, doubled or out of order" do
    parent = self()

    writers =
      for writer <- 1..@writers do
        spawn_link(fn ->
          receive do: (:go -> :ok)

          for n <- 1..@events do
            Trace.event(writer, n)
            # Short enough that the rings hold what ingest has not taken yet.
            if rem(n, 100) == 0, do: :erlang.yield()
          end

          send(parent, {:written, self()})
        end)
      end

    readers = for _ <- 1..4, do: start_load(fn -> read_once(writers) end)
    pager = Task.async(fn -> page(0, [], @writers * @events) end)

    Enum.each(writers, &send(&1, :go))
    for writer <- writers, do: assert_receive({:written, ^writer}, 60_000)

    paged = Task.await(pager, 60_000)
    Enum.each(readers, &stop_load/1)

    assert ElixirScope.count_events(event_type: :data_loss) == 0
    assert ElixirScope.count_events(event_type: :user_event) == @writers * @events

    ids = Enum.map(paged, & &1.id)
    assert ids == Enum.sort(ids) and ids == Enum.uniq(ids)

    for {_writer, events} <- Enum.group_by(paged, & &1.name) do
      assert Enum.map(events, & &1.data) == Enum.to_list(1..@events)
      assert events |> Enum.map(& &1.pid) |> Enum.uniq() |> length() == 1
    end
  end

  # Whoever came second found the place neither unknown nor known, and recorded an event without one.
  test "a place that processes meet for the first time together is the place of what each of them records" do
    places = 1_000
    # No other test has seen these.
    file = "lib/#{System.unique_integer([:positive])}.ex"

    for line <- 1..places do
      site = Site.new({First, :met, 1, file, line, 1, [:by], :public})
      meet(site, System.schedulers_online() * 2)
    end

    met = places * System.schedulers_online() * 2
    assert ElixirScope.count_events(event_type: :function_entry) == met
    assert ElixirScope.count_events(event_type: :function_entry, module: First, function: :met) == met
    assert ElixirScope.count_events(event_type: :function_exit, module: First, function: :met) == met
  end

  defp meet(site, processes) do
    waiting = :atomics.new(1, [])

    1..processes
    |> Enum.map(fn n ->
      Task.async(fn ->
        :atomics.add(waiting, 1, 1)
        until_all(waiting, processes)
        token = Native.enter_1(site, n)
        Native.exit(site, token, :ok)
      end)
    end)
    |> Task.await_many()
  end

  # Without a message, which would wake them one after the other.
  defp until_all(waiting, processes) do
    if :atomics.get(waiting, 1) < processes, do: until_all(waiting, processes)
  end

  defp read_once(writers) do
    writer = Enum.random(writers)
    events = ElixirScope.get_events(pid: writer, limit: 200)

    # The newest of one process, without a gap.
    for [one, next] <- Enum.chunk_every(events, 2, 1, :discard) do
      assert next.data == one.data + 1 and next.id > one.id and next.timestamp >= one.timestamp
    end

    assert ElixirScope.count_events(pid: writer) >= length(events)
  end

  defp page(last, pages, 0), do: pages |> Enum.reverse() |> Enum.concat() |> tap(fn _ -> last end)

  defp page(last, pages, left) do
    case ElixirScope.get_events(after: last, limit: 500, event_type: :user_event) do
      [] -> page(last, pages, left)
      events -> page(List.last(events).id, [events | pages], left - length(events))
    end
  end
end
