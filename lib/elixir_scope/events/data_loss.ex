defmodule ElixirScope.Events.DataLoss do
  use ElixirScope.Events.Event,
    types: [:data_loss],
    doc: "Events were lost here.",
    more: "It has no process of its own: `pid` is `nil`.",
    fields: [
      from: {integer(), "begin of the time in which they were recorded, monotonic nanoseconds"},
      until: {integer(), "end of that time"},
      count: {pos_integer(), "how many"},
      cause: {atom(), "why, such as `:dropped_oldest`, `:dropped_newest`, `:too_big`, `:store_full`"},
      writer: {non_neg_integer() | nil, "the number of the writer that lost them"}
    ]
end
