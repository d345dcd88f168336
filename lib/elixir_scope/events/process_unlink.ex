defmodule ElixirScope.Events.ProcessUnlink do
  use ElixirScope.Events.Event,
    types: [:process_unlink],
    doc: "A link between two processes was taken away.",
    fields: [
      other_pid: {pid() | port(), "the other one"}
    ]
end
