defmodule ElixirScope.Events.MessageTaken do
  use ElixirScope.Events.Event,
    types: [:message_taken],
    doc: "A process took a message out of its mailbox; told by a trace with `causality: :exact`.",
    fields: [
      receiver_pid: {pid(), "who took it"},
      sender_pid: {pid() | nil, "who sent it; nil where that is no process of this node"},
      message: {term(), "the message"},
      message_id:
        {pos_integer() | :ambiguous | nil,
         "names the message, as in the event of its sending: nil where none tells of that, `:ambiguous` where one may that was lost"},
      queue_time_ns: {non_neg_integer() | nil, "how long it was in the mailbox, where its arrival is known"}
    ]
end
