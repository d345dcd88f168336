defmodule ElixirScope.Events.MessageSend do
  use ElixirScope.Events.Event,
    types: [:message_send],
    doc: "A message was sent.",
    fields: [
      sender_pid: {pid(), "who sent it"},
      receiver_pid: {pid() | nil, "who it was sent to"},
      receiver_name:
        {term(),
         "what it was sent to, if not a pid: a name, `{name, node}`, `{:via, module, name}`, `{:global, name}`, a port, an alias"},
      message: {term(), "the message"},
      message_id: {pos_integer() | nil, "names the message, here and where it is received"},
      send_type: {atom(), "what it is: `:send`, `:call`, `:cast`, `:reply`, `:down`, `:timer` and others"},
      call_ref: {reference() | nil, "the reference of a call and its reply"},
      received_at: {integer() | nil, "when it came into the mailbox, monotonic nanoseconds"},
      handled_at: {integer() | nil, "when the receiver took it up"},
      queue_time_ns: {non_neg_integer() | nil, "how long it waited between the two"},
      to_dead: {boolean() | nil, "whether nobody was there to receive it"}
    ]
end
