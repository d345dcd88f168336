defmodule ElixirScope.Events.MessageReceive do
  use ElixirScope.Events.Event,
    types: [:message_receive],
    doc: "A message came into a mailbox.",
    fields: [
      receiver_pid: {pid(), "whose mailbox"},
      sender_pid: {pid() | nil, "who sent it, where that is known"},
      message: {term(), "the message"},
      message_id:
        {pos_integer() | :ambiguous | nil,
         "names the message, here and where it was sent: `:ambiguous` for one of several, nil where nobody told of that"},
      queue_time_ns: {non_neg_integer() | nil, "how long it waited until it was taken up"}
    ]
end
