defmodule ElixirScope.Events.Span do
  use ElixirScope.Events.Event,
    types: [:span_start, :span_stop],
    doc: "A span began or ended; see `ElixirScope.Trace.span/3`.",
    more: "Both events of a span have the same `call_id`. Only `:span_stop` knows the last two fields.",
    fields: [
      name: {term(), "the name that was given"},
      metadata: {term(), "the metadata that was given, in `:span_start`"},
      call_id: {pos_integer() | nil, "names the span: the id of its `:span_start` event"},
      duration_ns: {non_neg_integer() | nil, "how long it took; `nil` where its start was lost"},
      exit_reason:
        {:normal | {:error | :exit | :throw, reason :: term(), stacktrace :: term()} | nil,
         "how its block ended"}
    ]
end
