defmodule ElixirScope.Events.ProcessUnregister do
  use ElixirScope.Events.Event,
    types: [:process_unregister],
    doc: "A process lost its name.",
    fields: [
      name: {atom(), "the name"}
    ]
end
