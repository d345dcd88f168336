defmodule ElixirScope.Replay.Text do
  @moduledoc """
  A value of the tape as text: it was too large to be made a term only to be printed.

  `text` is what the native side wrote of it, as `inspect/1` would, up to some length; `bytes` is how large the value is on the tape,
  `masked` and `cut` are how many masked and cut values are in all of it. `ElixirScope.get_state_at/3` gives the value itself.
  """

  @enforce_keys [:text, :bytes, :masked, :cut]
  defstruct [:text, :bytes, :masked, :cut]

  @type t :: %__MODULE__{
          text: String.t(),
          bytes: pos_integer,
          masked: non_neg_integer,
          cut: non_neg_integer
        }

  defimpl Inspect do
    def inspect(%{text: text, bytes: bytes}, _opts),
      do: "#ElixirScope.Replay.Text<#{bytes} bytes: #{String.slice(text, 0, 60)}...>"
  end
end
