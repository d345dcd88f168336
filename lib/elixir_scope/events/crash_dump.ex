defmodule ElixirScope.Events.CrashDump do
  use ElixirScope.Events.Event,
    types: [:crash],
    doc: "A process crashed.",
    more: """
    One for each process whose end the logger is told of: what `proc_lib` started and did not end in order, what was plainly spawned and
    failed, and the children that a supervisor reports, so those that were killed. It is recorded just before the end, but of a
    process that was killed, or plainly spawned, just after it.
    """,
    fields: [
      crash_reason: {term(), "why: the reason of its exit"},
      process_state: {term(), "the last state that it held, as a server or state machine reports it"},
      supervisor_pid: {pid() | nil, "its supervisor"},
      restart_count:
        {non_neg_integer() | nil,
         "how often that had restarted it since the recorder was started, where it is known"},
      linked_pids: {[pid()] | nil, "who was linked to it; `nil` where it was dead already"}
    ]
end
