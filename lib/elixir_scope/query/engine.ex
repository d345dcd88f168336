defmodule ElixirScope.Query.Engine do
  @moduledoc """
  Tells how a query is answered, and what it costs.

  For when a query is slower than expected, or to choose between two ways of asking. Both functions take the options of
  `ElixirScope.get_events/1`.

      iex> ElixirScope.start()
      iex> %{rows: rows} = ElixirScope.Query.Engine.explain(event_type: :data_loss, limit: 10)
      iex> is_integer(rows)
      true
  """

  alias ElixirScope.{Native, Query}

  @typedoc """
  How a query was answered.

    * `segments`: how many segments the tape has, and `segments_read`: how many of them had to be read
    * `rows`: events looked at, and `matched`: events returned
    * `indexes`: which indexes were used
    * `losses`: the `:data_loss` events whose time overlaps the window of the query
    * `time_ns`: time spent, and `drain_ns`: the part of it that emptied the rings before

  More may be told than is listed here.
  """
  @type explanation :: %{required(atom) => term}

  @doc """
  Runs a query, and answers how it went in place of the events.
  """
  @spec explain(keyword) :: explanation | Query.error()
  def explain(opts \\ []) do
    Query.ask(opts, [], "ElixirScope.Query.Engine.explain/1", &Native.explain/1)
  end

  @doc """
  What a query would cost, without running it: the segments and rows that it would look at, from zone maps and indexes alone.

      iex> ElixirScope.start()
      iex> %{segments: segments, rows: rows} = ElixirScope.Query.Engine.estimate_query_cost(pid: self())
      iex> segments >= 0 and rows >= 0
      true
  """
  @spec estimate_query_cost(keyword) ::
          %{segments: non_neg_integer, rows: non_neg_integer} | Query.error()
  def estimate_query_cost(opts \\ []) do
    Query.ask(opts, [], "ElixirScope.Query.Engine.estimate_query_cost/1", &Native.estimate/1)
  end
end
