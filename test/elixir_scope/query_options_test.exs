defmodule ElixirScope.QueryOptionsTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.Error
  alias ElixirScope.Test.NoTimes

  @doors [
    &ElixirScope.get_events/1,
    &ElixirScope.count_events/1,
    &ElixirScope.subscribe_to_events/1,
    &ElixirScope.Query.Engine.explain/1,
    &ElixirScope.Query.Engine.estimate_query_cost/1
  ]

  @where_fields "a condition whose path begins with the name of a field (see ElixirScope.Events.fields/0)"

  # Each wrong option: what the message expects, and the value that it shows where that is not the option's.
  for {key, value, expected} <- [
        {:pid, :someone, "a pid, a list of pids, or :all"},
        {:pid, ["<0.1.0>"], "a pid, a list of pids, or :all"},
        {:event_type, :no_such_type,
         "an event type, a list of event types (see ElixirScope.Events.types/0), or :all"},
        {:event_type, [:user_event, 1],
         "an event type, a list of event types (see ElixirScope.Events.types/0), or :all"},
        {:module, "Enum", "an atom"},
        {:module, nil, "an atom"},
        {:function, 1, "an atom"},
        {:arity, -1, "an integer from 0 to 255"},
        {:arity, 256, "an integer from 0 to 255"},
        {:since, 1.5, "integer nanoseconds or a DateTime"},
        {:since, ~N[2024-01-01 00:00:00], "integer nanoseconds or a DateTime"},
        {:until, "now", "integer nanoseconds or a DateTime"},
        {:limit, 0, "a positive integer or :infinity"},
        {:limit, -1, "a positive integer or :infinity"},
        {:limit, :all, "a positive integer or :infinity"},
        {:order, :newest, "one of :asc, :desc"},
        {:before, -1, "a non-negative integer"},
        {:after, "1", "a non-negative integer"},
        {:correlation_id, 0, "a positive integer or :ambiguous"},
        {:call_id, :none, "a positive integer"},
        {:payload, nil, "true or false"},
        {:where, %{name: 1},
         "a list of {path, op, value}, the path a list that begins with the name of a field " <>
           "(see ElixirScope.Events.fields/0), op one of :==, :!=, :<, :>, :in, :contains, :exists"}
      ] do
    test "#{inspect(key)} refuses #{inspect(value)}" do
      key = unquote(key)
      value = unquote(Macro.escape(value))
      expected = unquote(expected)

      for door <- @doors, not without?(door, key) do
        assert {:error, %Error{reason: {:invalid_option, ^key, ^value, ^expected}}} =
                 error = door.([{key, value}])

        assert message_of(error) ==
                 "invalid value for option #{inspect(key)}: expected #{expected}, got: #{inspect(value)}"
      end
    end
  end

  test ":since and :until refuse a DateTime that is no time" do
    expected = "integer nanoseconds or a DateTime"

    for key <- [:since, :until], wrong <- NoTimes.all(), door <- @doors, not without?(door, key) do
      assert {:error, %Error{reason: {:invalid_option, ^key, ^wrong, ^expected}}} =
               error = door.([{key, wrong}])

      assert message_of(error) =~ "expected #{expected}, got: "
    end
  end

  test ":where refuses a path longer than anybody needs" do
    condition = {[:data | List.duplicate(0, 64)], :==, 1}
    assert {:error, %Error{reason: reason}} = ElixirScope.get_events(where: [condition])
    assert reason == {:invalid_option, :where, condition, "a condition whose path has at most 64 parts"}
  end

  test ":where with a value that takes gigabytes is an error that says so" do
    shared = Enum.reduce(1..30, 1, fn _, pair -> {pair, pair} end)

    assert {:error, %Error{reason: :term_too_big} = error} =
             ElixirScope.get_events(where: [{[:data], :==, shared}])

    assert Exception.message(error) =~ "a term that takes more than 64 MiB"
  end

  for {condition, expected} <- [
        {:name, "a condition {path, op, value}"},
        {{[:name], :==}, "a condition {path, op, value}"},
        {{:name, :==, 1}, "a condition whose path is a list that begins with the name of a field"},
        {{[], :==, 1}, "a condition whose path is a list that begins with the name of a field"},
        {{[:name | :data], :==, 1}, "a condition whose path is a list that begins with the name of a field"},
        {{[:no_such_field], :==, 1}, @where_fields},
        {{["name"], :==, 1}, @where_fields},
        {{[:name], :>=, 1}, "a condition whose op is one of :==, :!=, :<, :>, :in, :contains, :exists"},
        {{[:name], :in, :a}, "a condition whose op :in has a list as its value"},
        {{[:name], :in, [1 | 2]}, "a condition whose op :in has a list as its value"},
        {{[:name], :exists, nil}, "a condition whose op :exists has true or false as its value"}
      ] do
    test ":where refuses #{inspect(condition)}" do
      condition = unquote(Macro.escape(condition))
      error = ElixirScope.get_events(where: [{[:id], :>, 0}, condition])
      assert {:error, %Error{reason: {:invalid_option, :where, ^condition, unquote(expected)}}} = error

      assert message_of(error) ==
               "invalid value for option :where: expected #{unquote(expected)}, got: #{inspect(condition)}"
    end
  end

  test "an unknown option is named with the known ones" do
    assert message_of(ElixirScope.get_events(types: [:user_event])) ==
             "unknown option :types: expected one of the options :pid, :event_type, :module, :function, :arity, :since, " <>
               ":until, :limit, :order, :before, :after, :correlation_id, :call_id, :where, :payload, " <>
               "got the value: [:user_event]"
  end

  test "an option of another function is unknown" do
    assert message_of(ElixirScope.count_events(limit: 5)) =~ "unknown option :limit"
    assert message_of(ElixirScope.count_events(order: :asc)) =~ "unknown option :order"
    assert message_of(ElixirScope.subscribe_to_events(limit: 5)) =~ "unknown option :limit"
    assert message_of(ElixirScope.subscribe_to_events(after: 5)) =~ "unknown option :after"
  end

  test "options that are no keyword list are refused" do
    assert message_of(ElixirScope.get_events(:all)) ==
             "invalid value for option :opts: expected a keyword list of options, got: :all"

    assert message_of(ElixirScope.get_events(%{pid: self()})) =~ "expected a keyword list of options"
    assert message_of(ElixirScope.get_events([{:limit, 5} | :limit])) =~ "expected a keyword list of options"
  end

  test "an option given twice is refused" do
    assert message_of(ElixirScope.get_events(limit: 5, limit: 6)) ==
             "invalid value for option :limit: expected the option once, got: 6"
  end

  test "a time window that ends before it begins is refused" do
    assert message_of(ElixirScope.get_events(since: 10, until: 9)) ==
             "invalid value for option :until: expected a time not before :since (10), got: 9"

    assert is_list(ElixirScope.get_events(since: 10, until: 10))
  end

  test "the processes of other nodes are answered with their node" do
    remote = :erlang.binary_to_term(<<131, 88, 100, 0, 9, "far@away1", 0::32, 5::32, 0::32, 1::32>>)
    remote = if node(remote) == node(), do: flunk("not a remote pid"), else: remote

    assert ElixirScope.get_events(pid: remote) == {:error, {:remote, :far@away1}}
    assert ElixirScope.count_events(pid: [self(), remote]) == {:error, {:remote, :far@away1}}
  end

  test "times and ids beyond 64 bits are taken as the end of time" do
    Trace.event(:here, nil)
    far = Bitwise.bsl(1, 100)

    assert [%{name: :here}] =
             ElixirScope.get_events(pid: self(), since: -far, until: far, before: far, after: 0)

    assert ElixirScope.get_events(since: far) == []
    assert ElixirScope.get_events(after: far) == []
    assert ElixirScope.get_events(correlation_id: far) == []
  end

  @tag recorder: false
  test "while nothing runs every question is answered so" do
    for door <- @doors, opts <- [[], [limit: 0], :odd] do
      assert door.(opts) == {:error, :not_running}
    end

    assert ElixirScope.now() == {:error, :not_running}
    assert ElixirScope.pause() == {:error, :not_running}
    assert ElixirScope.resume() == {:error, :not_running}
    assert ElixirScope.unsubscribe(make_ref()) == {:error, :not_running}
    assert ElixirScope.Performance.Monitor.get_metrics() == {:error, :not_running}
  end

  defp without?(door, key) do
    cond do
      door == (&ElixirScope.count_events/1) -> key in [:limit, :order, :payload]
      door == (&ElixirScope.subscribe_to_events/1) -> key in [:limit, :order, :before, :after]
      true -> false
    end
  end
end
