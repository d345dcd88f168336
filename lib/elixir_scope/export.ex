defmodule ElixirScope.Export do
  @moduledoc """
  Makes pictures of what is on the tape, for tools that draw them.

    * `mermaid/2`: messages as a sequence diagram in the language of [Mermaid](https://mermaid.js.org), which Markdown viewers draw
    * `perfetto/1`: the tape, or a part of it, as a trace that [Perfetto](https://ui.perfetto.dev) shows: calls and spans as slices, all else
      as points, on one track for each process, with arrows from births to what followed

  A diagram is for a few messages that are to be explained:

      iex> message = %ElixirScope.Events.MessageSend{
      ...>   sender_pid: :erlang.list_to_pid(~c"<0.200.7000>"),
      ...>   receiver_pid: :erlang.list_to_pid(~c"<0.201.7000>"),
      ...>   receiver_name: Shop.Cart,
      ...>   send_type: :cast,
      ...>   message: {:add, "tea", 2}
      ...> }
      iex> [message, message] |> ElixirScope.Export.mermaid() |> String.split("\\n", trim: true)
      [
        "sequenceDiagram",
        "    participant p1 as 0.200.7000",
        "    participant p2 as Shop.Cart 0.201.7000",
        "    p1-)p2: cast {:add, \\"tea\\", 2} (2 times)"
      ]
  """

  alias ElixirScope.{Error, Events, Query}
  alias ElixirScope.Export.{Mermaid, Perfetto}

  @doc """
  The text of a sequence diagram of messages: of what `ElixirScope.get_events(event_type: :message_send)` answers, for one.

  What is repeated is drawn once, and how often it happened is told. Who takes part in few messages only, where many take part, is drawn
  with others of the kind in one place. All texts are escaped, so that whatever was in a message the diagram stays valid.

  ## Options

  #{Mermaid.docs()}
  """
  @spec mermaid([Events.MessageSend.t()], keyword) :: String.t() | {:error, Error.t()}
  def mermaid(flow, opts \\ []), do: Mermaid.draw(flow, opts)

  @doc """
  Writes events to a file that [Perfetto](https://ui.perfetto.dev) and its tools open.

      iex> ElixirScope.start()
      iex> require ElixirScope.Trace
      iex> ElixirScope.Trace.event(:hello, %{to: "you"})
      iex> path = Path.join(System.tmp_dir!(), "elixir_scope_#{System.unique_integer([:positive])}.pftrace")
      iex> {:ok, written} = ElixirScope.Export.perfetto(path: path, pid: self())
      iex> {written.path == path, written.events, written.tracks, written.bytes == File.stat!(path).size}
      {true, 1, 1, true}
      iex> File.rm!(path)
      :ok

  It is written in the node that records. The events are those that were recorded before it was called, in the order of time, and not more
  than a few megabytes of them are in memory at a time. `mix elixir_scope.export` does the same from another node.

  Each process has a track, below that of the one that it was born of where that is on the tape. It is called by the name that it is
  registered with, or by the function that it began with, or by the module of its callbacks, as far as the tape tells. Calls and
  spans are slices, with arguments, results and metadata; a call that began before the first event, and whose end is there, is drawn as well,
  one that has not ended has no end. `ElixirScope.Trace.metric/3` draws curves. What was lost has a track for itself, so that a gap is not taken for
  silence. States are not written, but what changed them is.

  `evicted` of the answer counts the events, of whatever sort, that left the tape before they could be written, since others were recorded
  meanwhile; the file says so at its beginning.

  Times are those of the wall clock. Captured values are cut to some hundred characters, and `payload: false` leaves them out.

  ## Options

  #{Perfetto.docs()}
  """
  @spec perfetto(keyword) :: {:ok, Perfetto.written()} | Query.error()
  def perfetto(opts), do: Perfetto.write(opts)
end
