defmodule ElixirScope.QueryTest do
  use ElixirScope.Test.RecorderCase

  import ElixirScope.Test.Generate, only: [integer: 1, one_of: 1, some_of: 1, term: 0]

  alias ElixirScope.Test.{Generate, Oracle}

  doctest ElixirScope.Query.Engine

  @site ElixirScope.Site.new({__MODULE__, :called, 2, "test/query_test.exs", 7, 1, [:left, :right], :public})
  @other ElixirScope.Site.new({Enum, :map, 1, "lib/enum.ex", 70, 2, [:list], :public})

  describe "get_events/1" do
    test "answers any mix of filters as Enum.filter over all events does" do
      Generate.seed()
      tape = record_at_random()
      pids = tape |> Enum.map(& &1.pid) |> Enum.uniq()

      for round <- 1..400 do
        opts = filters(tape, pids)
        asked = opts ++ paging(tape)

        answer = ElixirScope.get_events(asked)
        expected = Oracle.query(tape, asked)

        assert answer == expected,
               "round #{round}: get_events(#{inspect(asked)})\n" <>
                 "too many: #{inspect(Enum.take(answer -- expected, 2))}\n" <>
                 "missing: #{inspect(Enum.take(expected -- answer, 2))}"

        assert ElixirScope.count_events(opts) == Oracle.count(tape, opts),
               "round #{round}: count_events(#{inspect(opts)})"
      end
    end

    test "keeps the newest events within the limit, whatever the order of the answer" do
      for n <- 1..10, do: Trace.event(:n, n)
      data = fn opts -> for event <- ElixirScope.get_events([pid: self()] ++ opts), do: event.data end

      assert data.(limit: 3) == [8, 9, 10]
      assert data.(limit: 3, order: :desc) == [10, 9, 8]
      assert data.(limit: :infinity) == Enum.to_list(1..10)
      assert data.([]) == Enum.to_list(1..10)
    end

    test "keeps the oldest events after an id" do
      for n <- 1..10, do: Trace.event(:n, n)
      [first | _rest] = ElixirScope.get_events(pid: self())

      data = fn opts ->
        for event <- ElixirScope.get_events([pid: self(), after: first.id] ++ opts), do: event.data
      end

      assert data.(limit: 3) == [2, 3, 4]
      assert data.(limit: 3, order: :desc) == [4, 3, 2]
    end

    test "keeps 1,000 events when no limit is given" do
      for n <- 1..1_200, do: Trace.event(:n, n)
      events = ElixirScope.get_events(pid: self())
      assert length(events) == 1_000
      assert List.last(events).data == 1_200
    end

    test "pages backwards and forwards without overlap or gap while events keep arriving" do
      for n <- 1..500, do: Trace.event(:n, n)

      load =
        start_load(fn ->
          for n <- 1..10, do: Trace.event(:noise, n)
          Process.sleep(1)
        end)

      backwards =
        page(fn last -> ElixirScope.get_events(page_of(:before, last, self())) end, :before, nil, [])

      assert Enum.map(backwards, & &1.data) == Enum.to_list(1..500)

      forwards = page(fn last -> ElixirScope.get_events(page_of(:after, last, self())) end, :after, 0, [])
      assert Enum.map(forwards, & &1.data) == Enum.to_list(1..500)

      stop_load(load)
    end

    test "takes inclusive times, as nanoseconds of the tape or as DateTime" do
      Trace.event(:first, nil)
      Trace.event(:second, nil)
      [first, second] = ElixirScope.get_events(pid: self())
      names = fn opts -> for event <- ElixirScope.get_events([pid: self()] ++ opts), do: event.name end

      assert names.(since: first.timestamp, until: second.timestamp) == [:first, :second]
      assert names.(since: second.timestamp) == [:second]
      assert names.(until: first.timestamp) == [:first]
      assert names.(until: first.timestamp - 1) == []
      assert names.(since: second.timestamp + 1) == []

      # A DateTime counts microseconds.
      just_before = DateTime.from_unix!(div(first.wall_time, 1_000) - 1, :microsecond)
      just_after = DateTime.from_unix!(div(second.wall_time, 1_000) + 1, :microsecond)
      assert names.(since: just_before, until: just_after) == [:first, :second]
      assert names.(until: just_before) == []
      assert names.(since: just_after) == []
    end

    test "answers with until alone, though monotonic time is negative" do
      Trace.event(:early, nil)
      assert [%{name: :early}] = ElixirScope.get_events(pid: self(), until: ElixirScope.now())
    end

    test "leaves captured terms out when asked to" do
      Trace.event(:name, %{data: 1})
      assert %Events.UserEvent{name: nil, data: nil, timestamp: time} = the_event(payload: false)
      assert is_integer(time)
    end

    test "sees every event that was recorded before it was asked" do
      for n <- 1..1_000 do
        Trace.event(:n, n)
        assert [%{data: ^n}] = ElixirScope.get_events(pid: self(), limit: 1)
      end
    end

    test "answers nothing for empty lists" do
      Trace.event(:name, nil)
      assert ElixirScope.get_events(pid: []) == []
      assert ElixirScope.get_events(event_type: []) == []
      assert ElixirScope.count_events(event_type: []) == 0
    end

    test "finds marks by the function that they stand in" do
      marked(1, 2)
      Trace.event(:elsewhere, nil)

      kinds = fn opts -> for event <- ElixirScope.get_events([pid: self()] ++ opts), do: event.event_type end

      marks = [:span_start, :user_event, :performance_metric, :variable_assignment, :span_stop]
      assert kinds.(function: :marked) == marks
      assert kinds.(module: __MODULE__, function: :marked, arity: 2) == marks
      assert kinds.(arity: 3, function: :marked) == []
      assert kinds.(module: __MODULE__) == marks ++ [:user_event]
      assert kinds.(module: Enum) == []
    end

    test "gives one wall time to an event at every query" do
      Trace.event(:name, nil)
      assert the_event().wall_time == the_event(payload: false).wall_time
    end
  end

  describe "a call" do
    test "is recorded by entry and exit, with its place, its arguments and its result" do
      token = ElixirScope.Native.enter_2(@site, 1, "two")
      Trace.event(:inside, nil)
      ElixirScope.Native.exit(@site, token, :result)

      assert [entry, inside, exit] =
               ElixirScope.get_events(call_id: hd(ElixirScope.get_events(pid: self())).id)

      assert %Events.FunctionEntry{
               module: __MODULE__,
               function: :called,
               arity: 2,
               args: [1, "two"],
               file: "test/query_test.exs",
               line: 7,
               clause: 1
             } = entry

      assert entry.call_id == entry.id
      assert inside.parent_id == entry.id

      assert %Events.FunctionExit{
               module: __MODULE__,
               function: :called,
               arity: 2,
               result: :result,
               exit_reason: :normal
             } = exit

      assert exit.call_id == entry.id
      assert exit.duration_ns == exit.timestamp - entry.timestamp
      assert exit.correlation_id == entry.correlation_id
    end

    test "tells tail calls and errors by its exit reason" do
      ElixirScope.Native.exit_tail(@other, ElixirScope.Native.enter_1(@other, []))
      ElixirScope.Native.exit_error(@other, ElixirScope.Native.enter_n(@other, [[]]), :throw, :ball, [])

      assert [:tail_call, {:throw, :ball, []}] =
               for(event <- ElixirScope.get_events(event_type: :function_exit), do: event.exit_reason)
    end

    test "leaves no trace in the nesting when its exit is missed" do
      outer = ElixirScope.Native.enter_0(@site)
      pid = spawn(fn -> ElixirScope.Native.enter_0(@site) end)
      until_dead(pid)
      ElixirScope.Native.exit(@site, outer, :ok)
      Trace.event(:afterwards, nil)

      assert the_event(event_type: :user_event).parent_id == nil
    end
  end

  describe "ElixirScope.Query.Engine" do
    test "explains a query: what it read and what it found" do
      for n <- 1..100, do: Trace.event(:n, n)

      explained = ElixirScope.Query.Engine.explain(pid: self(), event_type: :user_event)
      assert explained.matched == 100
      assert explained.rows >= 100
      assert explained.segments >= 1
      assert explained.losses == []

      assert %{segments: segments, rows: rows} = ElixirScope.Query.Engine.estimate_query_cost(pid: self())
      assert segments >= 1 and rows >= 100
      assert %{rows: 0} = ElixirScope.Query.Engine.estimate_query_cost(until: hd(all_events()).timestamp - 1)
    end
  end

  defp marked(first, second) do
    Trace.span "marked" do
      Trace.event(:first, first)
      Trace.metric("second", second, one_of([[unit: :count], []]))
      Trace.snapshot()
    end
  end

  # -- A tape at random -------------------------------------------------------------------------------------------------

  defp record_at_random do
    processes =
      for _ <- 1..6 do
        seed = :rand.uniform(1_000_000)

        spawn(fn ->
          :rand.seed(:exsss, seed)
          for _ <- 1..60, do: record_one(2)
        end)
      end

    Enum.each(processes, &until_dead/1)
    for _ <- 1..40, do: record_one(2)
    all_events()
  end

  defp record_one(0), do: Trace.event(one_of([:a, :b, "c"]), term())

  defp record_one(depth) do
    case integer(1..6) do
      1 ->
        Trace.metric(one_of(["load", :depth]), integer(0..9), unit: one_of([:count, :ms]))

      2 ->
        local = term()
        Trace.snapshot()
        local

      3 ->
        Trace.span one_of(["one", "two"]), %{user_id: integer(1..5)} do
          for _ <- 1..integer(0..2)//1, do: record_one(depth - 1)
        end

      4 ->
        token = ElixirScope.Native.enter_2(@site, integer(1..5), %{user_id: integer(1..5)})
        for _ <- 1..integer(0..2)//1, do: record_one(depth - 1)
        ElixirScope.Native.exit(@site, token, {:ok, integer(1..5)})

      5 ->
        token = ElixirScope.Native.enter_1(@other, some_of([1, 2, 3]))
        ElixirScope.Native.exit_error(@other, token, :error, :badarg, [])

      6 ->
        Trace.event(
          one_of([:a, :b, "c"]),
          one_of([term(), [user_id: integer(1..5)], %{user_id: integer(1..5)}])
        )
    end
  end

  # -- Filters at random ------------------------------------------------------------------------------------------------

  defp filters(tape, pids) do
    some = fn -> one_of(tape) end

    [
      fn -> {:pid, one_of([:all, one_of(pids), some_of(pids)])} end,
      fn -> {:event_type, one_of([:all, some.().event_type, some_of(ElixirScope.Events.types())])} end,
      fn -> {:module, one_of([__MODULE__, Enum, Absent])} end,
      fn -> {:function, one_of([:called, :map, :record_one, :absent])} end,
      fn -> {:arity, integer(0..3)} end,
      fn -> {:since, some.().timestamp + integer(-1..1)} end,
      fn -> {:correlation_id, some.().correlation_id || integer(1..3)} end,
      fn -> {:call_id, some.().parent_id || some.().id} end,
      fn -> {:where, for(_ <- 1..integer(1..2), do: condition(some.()))} end
    ]
    |> Enum.filter(fn _filter -> :rand.uniform(4) == 1 end)
    |> Enum.map(& &1.())
    |> add_until(tape)
  end

  defp add_until(filters, tape) do
    until = one_of(tape).timestamp

    if :rand.uniform(4) == 1 and until >= Keyword.get(filters, :since, until),
      do: filters ++ [until: until],
      else: filters
  end

  defp paging(tape) do
    [
      {:limit, one_of([1, 7, 1_000, :infinity])},
      {:order, one_of([:asc, :desc])},
      {:before, one_of(tape).id},
      {:after, one_of(tape).id}
    ]
    |> Enum.filter(fn _option -> :rand.uniform(3) == 1 end)
  end

  defp condition(event) do
    path =
      one_of([
        [:id],
        [:pid],
        [:event_type],
        [:timestamp],
        [:parent_id],
        [:correlation_id],
        [:call_id],
        [:module],
        [:line],
        [:name],
        [:data],
        [:data, :user_id],
        [:data, 0],
        [:data, 1],
        [:args],
        [:args, 0],
        [:args, 1, :user_id],
        [:metadata, :user_id],
        [:bindings, :local],
        [:value],
        [:result, 1]
      ])

    value = one_of([integer(1..5), :a, "c", term(), Map.get(event, hd(path))])

    case one_of([:==, :!=, :<, :>, :in, :contains, :exists]) do
      :in -> {path, :in, [value, integer(1..5), :b]}
      :contains -> {path, :contains, one_of([value, :user_id, 1, "c", ""])}
      :exists -> {path, :exists, one_of([true, false])}
      op -> {path, op, value}
    end
  end

  # -- Paging -----------------------------------------------------------------------------------------------------------

  defp page_of(_direction, nil, pid), do: [pid: pid, limit: 37]
  defp page_of(direction, id, pid), do: [{direction, id}, {:pid, pid}, {:limit, 37}]

  defp page(ask, direction, last, events) do
    case {ask.(last), direction} do
      {[], _direction} -> events
      {page, :before} -> page(ask, direction, hd(page).id, page ++ events)
      {page, :after} -> page(ask, direction, List.last(page).id, events ++ page)
    end
  end
end
