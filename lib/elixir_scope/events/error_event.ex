defmodule ElixirScope.Events.ErrorEvent do
  use ElixirScope.Events.Event,
    types: [:error],
    doc: "An error was seen.",
    fields: [
      error_class: {:error | :exit | :throw | nil, "its class"},
      error_type: {term(), "its kind, such as the module of an exception"},
      error_message: {String.t() | nil, "its message"},
      stacktrace: {term(), "where it came from"},
      context: {term(), "what else is known"}
    ]
end
