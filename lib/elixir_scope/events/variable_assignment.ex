defmodule ElixirScope.Events.VariableAssignment do
  use ElixirScope.Events.Event,
    types: [:variable_assignment],
    doc: "The local variables at one place of the program; see `ElixirScope.Trace.snapshot/0`.",
    fields: [
      module: {module() | nil, "the module"},
      function: {atom() | nil, "the function"},
      line: {non_neg_integer() | nil, "the line"},
      bindings: {%{optional(atom()) => term()} | nil, "names and values"}
    ]
end
