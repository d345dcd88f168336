defmodule ElixirScope.Events.GarbageCollection do
  use ElixirScope.Events.Event,
    types: [:garbage_collection],
    doc: "The memory of one process was collected.",
    fields: [
      gc_type: {:minor | :major | nil, "how thorough"},
      heap_before: {non_neg_integer() | nil, "words in use before"},
      heap_after: {non_neg_integer() | nil, "words in use after"},
      duration_ns: {non_neg_integer() | nil, "how long it took"}
    ]
end
