defmodule ElixirScope.Events.CallbackReply do
  use ElixirScope.Events.Event,
    types: [:callback_reply],
    doc: "What a callback of a behaviour answered.",
    fields: [
      callback: {atom(), "the callback"},
      reply: {term(), "the reply to the caller"},
      call_id: {pos_integer() | nil, "the call of the callback"},
      timeout: {timeout() | nil, "the timeout that it asked for"},
      hibernate: {boolean() | nil, "whether it asked to hibernate"},
      continue_data: {term(), "what it goes on with, of `{:continue, data}`"}
    ]
end
