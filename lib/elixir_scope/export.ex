defmodule ElixirScope.Export do
  @moduledoc """
  Makes pictures of what is on the tape, for tools that draw them.

    * `mermaid/2`: messages as a sequence diagram in the language of [Mermaid](https://mermaid.js.org), which Markdown viewers draw

  A diagram is for a few messages that are to be explained:

      iex> message = %ElixirScope.Events.MessageSend{
      ...>   sender_pid: :erlang.list_to_pid('<0.200.0>'),
      ...>   receiver_pid: :erlang.list_to_pid('<0.201.0>'),
      ...>   receiver_name: Shop.Cart,
      ...>   send_type: :cast,
      ...>   message: {:add, "tea", 2}
      ...> }
      iex> [message, message] |> ElixirScope.Export.mermaid() |> String.split("\\n", trim: true)
      [
        "sequenceDiagram",
        "    participant p1 as 0.200.0",
        "    participant p2 as Shop.Cart 0.201.0",
        "    p1-)p2: cast {:add, \\"tea\\", 2} (2 times)"
      ]
  """

  alias ElixirScope.{Error, Events}
  alias ElixirScope.Export.Mermaid

  @doc """
  The text of a sequence diagram of messages: of what `ElixirScope.get_events(event_type: :message_send)` answers, for one.

  What is repeated is drawn once, and how often it happened is told. Who takes part in few messages only, where many take part, is drawn
  with others of the kind in one place. All texts are escaped, so that whatever was in a message the diagram stays valid.

  ## Options

  #{Mermaid.docs()}
  """
  @spec mermaid([Events.MessageSend.t()], keyword) :: String.t() | {:error, Error.t()}
  def mermaid(flow, opts \\ []), do: Mermaid.draw(flow, opts)
end
