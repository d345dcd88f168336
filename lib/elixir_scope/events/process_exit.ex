defmodule ElixirScope.Events.ProcessExit do
  use ElixirScope.Events.Event,
    types: [:process_exit],
    doc: "A process ended.",
    fields: [
      exit_reason: {term(), "why"},
      lifetime_ns: {non_neg_integer() | nil, "how long it lived, where its birth is on the tape"}
    ]
end
