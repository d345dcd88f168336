defmodule ElixirScope.EventsTest do
  use ExUnit.Case, async: true

  alias ElixirScope.{Events, Site}

  doctest Events

  @header [:id, :event_type, :timestamp, :wall_time, :node, :pid, :correlation_id, :parent_id]

  test "there are 25 kinds, each with a struct that begins with the header" do
    assert length(Events.types()) == 25

    for type <- Events.types() do
      assert {:ok, module} = Events.module(type)
      event = struct!(module, event_type: type)
      assert Enum.all?(@header, &is_map_key(event, &1))
      assert Events.event?(event)
    end
  end

  test "the kinds carry the fields of the contract" do
    own = fn type ->
      {^type, _module, fields} = List.keyfind(Events.kinds(), type, 0)
      fields
    end

    assert own.(:function_entry) == [
             :module,
             :function,
             :arity,
             :args,
             :call_id,
             :file,
             :line,
             :clause,
             :behaviour,
             :stack
           ]

    assert own.(:function_exit) == [
             :module,
             :function,
             :arity,
             :call_id,
             :behaviour,
             :exit_reason,
             :result,
             :duration_ns
           ]

    assert own.(:user_event) == [:name, :data]
    assert own.(:span_start) == [:name, :metadata, :call_id, :duration_ns, :exit_reason]
    assert own.(:span_stop) == own.(:span_start)
    assert own.(:variable_assignment) == [:module, :function, :line, :bindings]
    assert own.(:performance_metric) == [:metric_name, :value, :unit, :metadata]
    assert own.(:data_loss) == [:from, :until, :count, :cause, :writer]
  end

  test "all of them are documented, field by field" do
    for {_type, module, fields} <- Events.kinds() do
      assert {:docs_v1, _, _, _, %{"en" => doc}, _, _} = Code.fetch_docs(module)
      for field <- fields, do: assert(doc =~ "`#{field}` - ")
    end
  end

  describe "a site" do
    test "has the same id wherever it is compiled, another one elsewhere, and never 0" do
      site = {Enum, :map, 2, "lib/enum.ex", 7, 1, [:enumerable, :fun], :public}
      assert {id, ^site} = Site.new(site)
      assert Site.new(site) == {id, site}
      assert id in 1..(Bitwise.bsl(1, 58) - 1)
      refute elem(Site.new(put_elem(site, 4, 8)), 0) == id
    end
  end
end
