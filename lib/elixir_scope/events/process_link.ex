defmodule ElixirScope.Events.ProcessLink do
  use ElixirScope.Events.Event,
    types: [:process_link],
    doc: "Two processes were linked.",
    fields: [
      other_pid: {pid() | port(), "the other one"}
    ]
end
