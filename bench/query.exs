# Questions to a tape of a million events, from Elixir: options checked, rings drained, structs built.
#
#     mix run bench/query.exs [--smoke] [--events 1000000] [--runs 1000]

Code.require_file("support/all.exs", __DIR__)

defmodule Bench.Query.Loops do
  @moduledoc false

  require ElixirScope.Trace
  alias ElixirScope.{Native, Trace}

  @site Bench.Tape.site(__ENV__, :checkout, [:count, :kind, :name])

  @doc "Records `4 * n` events: half of them user events, half entries and exits."
  def record(0), do: :ok

  def record(n) do
    token = Native.enter_3(@site, n, :card, "0123456789")
    Trace.event(:step, %{count: n, kind: :card, name: "0123456789"})
    Trace.event(:step, %{count: n, kind: :cash, name: "0123456789"})
    Native.exit(@site, token, :ok)
    record(n - 1)
  end
end

defmodule Bench.Query do
  @moduledoc false

  alias Bench.Query.Loops
  alias Bench.{Samples, Tape}

  @processes 100

  def run(options) do
    events = options.given[:events] || Bench.size(options, 1_000_000, 20_000)
    runs = options.given[:runs] || Bench.size(options, 1_000, 20)

    Tape.start!(
      capture: [buffer_size: 400_000, total_bytes: 64 * 1_048_576],
      storage: [memory_limit: 1_024 * 1_048_576]
    )

    workers = fill(events)
    Bench.check!(Tape.lost() == %{}, "nothing was lost")
    count = ElixirScope.count_events()
    Bench.check!(count == events, "#{events} events are stored, got #{count}")
    status = ElixirScope.status()

    IO.puts(
      "#{Bench.number(count)} events of #{@processes} processes in #{status.store.segments} segments, " <>
        "#{Bench.mib(Tape.store_bytes(status))}; #{runs} runs"
    )

    naive = naive(count)
    times = ask(naive, &Enum.map(&1, fn event -> event.timestamp end)) |> List.to_tuple()
    questions = questions(workers, times)

    check_answers(questions, naive, Bench.size(options, 5, 5))
    at_rest(options, questions, naive, runs)
    with_backlog(options, questions, Bench.size(options, 300, 5))
  end

  # -- The tape ---------------------------------------------------------------------------------------------------------

  # Each process records 100 events, then the next one, and round again, so that every segment holds events of them all.
  defp fill(events) do
    workers = for _ <- 1..@processes, do: spawn_link(&worker/0)
    rounds = div(events, @processes * 100)

    for _ <- 1..rounds do
      for worker <- workers do
        send(worker, {:record, 25, self()})

        receive do
          {^worker, :recorded} -> :ok
        end
      end

      Tape.drain()
    end

    workers
  end

  defp worker do
    receive do
      {:record, n, from} ->
        Loops.record(n)
        send(from, {self(), :recorded})
        worker()
    end
  end

  # -- The questions ----------------------------------------------------------------------------------------------------

  # Each is asked of another process and another time at each run, so that nothing is answered from a warm place. `keep` is the
  # question as a filter over all events.
  defp questions(workers, times) do
    [
      %{
        name: :selective,
        what: "pid, type and half of the time, limit 100",
        aim_ms: 1,
        make: fn ->
          pid = Enum.random(workers)
          {since, until} = window(times, div(tuple_size(times), 2))
          [pid: pid, event_type: :user_event, since: since, until: until, limit: 100]
        end,
        keep: fn opts, event ->
          event.pid == opts[:pid] and event.event_type == :user_event and within?(event, opts)
        end
      },
      %{
        name: :newest,
        what: "no selective key, newest 100",
        aim_ms: 1,
        make: fn -> [limit: 100] end,
        keep: fn _opts, _event -> true end
      },
      %{
        name: :window,
        what: "a window of 1,000 events",
        aim_ms: 2,
        make: fn ->
          {since, until} = window(times, min(1_000, tuple_size(times)))
          [since: since, until: until, limit: :infinity]
        end,
        keep: fn opts, event -> within?(event, opts) end
      }
    ]
  end

  defp window(times, size) do
    first = Enum.random(0..(tuple_size(times) - size))
    {elem(times, first), elem(times, first + size - 1)}
  end

  defp within?(event, opts), do: event.timestamp >= opts[:since] and event.timestamp <= opts[:until]

  # -- The same by Enum.filter ------------------------------------------------------------------------------------------

  # A process that holds all events as a list of structs, on its own heap.
  defp naive(count) do
    parent = self()

    pid =
      spawn_link(fn ->
        events = ElixirScope.get_events(limit: :infinity)
        Bench.check!(length(events) == count, "a query without a limit gives all #{count} events")
        :erlang.garbage_collect()
        send(parent, {self(), :ready})
        naive_loop(events)
      end)

    receive do
      {^pid, :ready} -> pid
    end
  end

  defp naive_loop(events) do
    receive do
      {:ask, fun, from, tag} ->
        send(from, {tag, fun.(events)})
        naive_loop(events)
    end
  end

  defp ask(naive, fun) do
    tag = make_ref()
    send(naive, {:ask, fun, self(), tag})

    receive do
      {^tag, answer} -> answer
    end
  end

  defp filtered(events, question, opts) do
    kept = Enum.filter(events, &question.keep.(opts, &1))
    if opts[:limit] == :infinity, do: kept, else: Enum.take(kept, -opts[:limit])
  end

  defp check_answers(questions, naive, times) do
    for question <- questions, _ <- 1..times do
      opts = question.make.()
      answer = ElixirScope.get_events(opts)
      expected = ask(naive, &filtered(&1, question, opts))

      Bench.check!(
        answer == expected and answer != [],
        "#{question.what} equals Enum.filter: #{inspect(opts)}"
      )
    end
  end

  # -- Times ------------------------------------------------------------------------------------------------------------

  defp at_rest(options, questions, naive, runs) do
    samples =
      Bench.isolated(fn ->
        Samples.in_turns([floor_of_a_query() | Enum.map(questions, &variant/1)], runs, 1)
      end)

    # far too slow to be asked a thousand times; before and after would be no better, the figure is a hundred times larger
    slow =
      for question <- questions, into: %{} do
        opts = question.make.()

        ms =
          for _ <- 1..5 do
            {ns, _} = ask(naive, fn all -> Samples.timed(fn -> length(filtered(all, question, opts)) end) end)
            ns / 1.0e6
          end

        {question.name, ms}
      end

    rows =
      [{"a query that matches nothing (`before: 1`)", ms(samples.nothing), "ms", nil}] ++
        Enum.flat_map(questions, fn question ->
          ours = ms(samples[question.name])
          naive = slow[question.name]

          [
            {question.what, ours, "ms", {nil, :p99, question.aim_ms}},
            {"the same by Enum.filter over structs in memory, against it", naive, "ms",
             {Samples.ratio(naive, ours), nil, nil}}
          ]
        end)

    Bench.table(options, "From Elixir, rings empty", rows)

    for question <- questions do
      explained = ElixirScope.Query.Engine.explain(question.make.())
      Bench.figure(options, "#{question.what}: #{inspect(explained, limit: 12)}")
    end
  end

  # 20,000 events are recorded just before each question, by the process that asks. The library's thread takes them out as fast
  # as it can meanwhile; what is left of them, the query takes out itself, or waits for.
  defp with_backlog(options, questions, runs) do
    backlog = Bench.size(options, 20_000, 400)
    record = fn -> Loops.record(div(backlog, 4)) end
    variants = [floor_of_a_query() | Enum.map(questions, &variant/1)]

    samples =
      Bench.isolated(fn ->
        Samples.in_turns(Enum.map(variants, &Map.put(&1, :before, record)), runs, 1)
      end)

    Bench.check!(Tape.lost() == %{}, "nothing was lost, got #{inspect(Tape.lost())}")

    rows =
      [{"a query that matches nothing", ms(samples.nothing), "ms", nil}] ++
        for(question <- questions, do: {question.what, ms(samples[question.name]), "ms", nil})

    Bench.table(
      options,
      "From Elixir, #{Bench.number(backlog)} events recorded just before, #{runs} runs",
      rows
    )
  end

  defp variant(question) do
    %{name: question.name, run: fn 1 -> ElixirScope.get_events(question.make.()) end}
  end

  defp floor_of_a_query, do: %{name: :nothing, run: fn 1 -> [] = ElixirScope.get_events(before: 1) end}

  defp ms(samples), do: Enum.map(samples, &(&1 / 1.0e6))
end

options = Bench.open("Queries", events: :integer, runs: :integer)
Bench.Query.run(options)
