defmodule ElixirScope.Events.FunctionEntry do
  use ElixirScope.Events.Event,
    types: [:function_entry],
    doc: "A call began.",
    more:
      "Its `id` is the `call_id` of the call: the same one stands in the `ElixirScope.Events.FunctionExit`.",
    fields: [
      module: {module(), "the module of the function"},
      function: {atom(), "its name"},
      arity: {arity(), "how many arguments it takes"},
      args: {[term()] | nil, "the arguments"},
      call_id: {pos_integer(), "names the call: the id of this event"},
      file: {String.t() | nil, "the source file"},
      line: {non_neg_integer() | nil, "the line in it"},
      clause: {non_neg_integer() | nil, "which clause was entered, from 1; 0 where that is not known"},
      behaviour: {module() | nil, "the behaviour that the function is a callback of"},
      stack:
        {[tuple] | nil,
         "where it was called from, innermost first, as in a stack trace: one frame, or all; where a trace was asked for them"}
    ]
end
