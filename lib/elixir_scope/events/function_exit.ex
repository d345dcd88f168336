defmodule ElixirScope.Events.FunctionExit do
  use ElixirScope.Events.Event,
    types: [:function_exit],
    doc: "A call ended.",
    fields: [
      module: {module(), "the module of the function"},
      function: {atom(), "its name"},
      arity: {arity(), "how many arguments it takes"},
      call_id: {pos_integer() | nil, "the id of the call's `ElixirScope.Events.FunctionEntry`"},
      behaviour: {module() | nil, "the behaviour that the function is a callback of"},
      exit_reason:
        {:normal | :tail_call | {:error | :exit | :throw, reason :: term(), stacktrace :: term()},
         "how it ended"},
      result: {term(), "what it returned"},
      duration_ns: {non_neg_integer() | nil, "how long it took; `nil` where its entry was lost"}
    ]
end
