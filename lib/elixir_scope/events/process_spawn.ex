defmodule ElixirScope.Events.ProcessSpawn do
  use ElixirScope.Events.Event,
    types: [:process_spawn],
    doc: "A process was born.",
    fields: [
      spawned_pid: {pid(), "the new process"},
      parent_pid: {pid() | nil, "who spawned it"},
      module: {module() | nil, "the module of its first function"},
      function: {atom() | nil, "its first function"},
      args: {[term()] | nil, "the arguments of that"},
      registered_name: {atom() | nil, "the name that it took"}
    ]
end
