defmodule ElixirScope.Events.TelemetryEvent do
  use ElixirScope.Events.Event,
    types: [:telemetry],
    doc: "What a library reported through `:telemetry`.",
    fields: [
      name: {[atom()], "the name of the event"},
      measurements: {map(), "what was measured"},
      metadata: {map(), "what else was told"}
    ]
end
