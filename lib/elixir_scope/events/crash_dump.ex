defmodule ElixirScope.Events.CrashDump do
  use ElixirScope.Events.Event,
    types: [:crash],
    doc: "A process crashed.",
    fields: [
      crash_reason: {term(), "why"},
      process_state: {term(), "the last state that it held"},
      supervisor_pid: {pid() | nil, "its supervisor"},
      restart_count: {non_neg_integer() | nil, "how often it was restarted before"},
      linked_pids: {[pid()] | nil, "who was linked to it"}
    ]
end
