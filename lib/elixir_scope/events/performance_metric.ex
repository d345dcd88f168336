defmodule ElixirScope.Events.PerformanceMetric do
  use ElixirScope.Events.Event,
    types: [:performance_metric],
    doc: "A measurement; see `ElixirScope.Trace.metric/3`.",
    fields: [
      metric_name: {term(), "what was measured"},
      value: {term(), "the measured value"},
      unit: {term(), "what the value counts"},
      metadata: {term(), "what else was told"}
    ]
end
