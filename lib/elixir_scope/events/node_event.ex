defmodule ElixirScope.Events.NodeEvent do
  use ElixirScope.Events.Event,
    types: [:node_event],
    doc: "A node came or went.",
    fields: [
      other_node: {node(), "the node"},
      event: {:up | :down, "which of the two"},
      reason: {term(), "why"}
    ]
end
