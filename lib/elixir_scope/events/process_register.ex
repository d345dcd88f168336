defmodule ElixirScope.Events.ProcessRegister do
  use ElixirScope.Events.Event,
    types: [:process_register],
    doc: "A process took a name.",
    fields: [
      name: {atom(), "the name"}
    ]
end
