defmodule ElixirScope.Events.TraceControl do
  use ElixirScope.Events.Event,
    types: [:trace_control],
    doc: "A trace began or ended.",
    fields: [
      operation: {atom(), "what happened to the trace"},
      target: {term(), "what is traced"},
      limits: {map() | nil, "the limits that it has, and the `:events` that it is about"},
      reason: {term(), "why it ended"}
    ]
end
