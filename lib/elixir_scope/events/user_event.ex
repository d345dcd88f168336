defmodule ElixirScope.Events.UserEvent do
  use ElixirScope.Events.Event,
    types: [:user_event],
    doc: "What `ElixirScope.Trace.event/2` recorded.",
    fields: [
      name: {term(), "the name that was given"},
      data: {term(), "the data that was given"}
    ]
end
