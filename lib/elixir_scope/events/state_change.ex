defmodule ElixirScope.Events.StateChange do
  use ElixirScope.Events.Event,
    types: [:state_change],
    doc: "A process changed its state, or holds one that was not on the tape yet.",
    fields: [
      module: {module(), "the callback module that holds the state"},
      callback: {atom(), "the callback that changed it, or was the first that was recorded with it"},
      trigger_message: {term(), "what the callback was called with"},
      old_state: {term(), "the state before, as far as it is on the tape; `nil` where none is"},
      new_state: {term(), "the state after"},
      state_diff:
        {[map()] | nil,
         "what changed: a list of `%{path: keys, op: :added | :removed | :changed, old: term, new: term}`"},
      call_id: {pos_integer() | nil, "the call of the callback"},
      quality: {:exact | :unverified | :approximate | nil, "how far the states can be relied on"}
    ]
end
