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

    * `segments`: how many segments the tape has; `scanned`: how many of them were looked into; `pruned`: how many were passed
      over, by the index that spared them
    * `indexes`: the indexes that narrowed the search
    * `rows`: events looked at; `verified`: those whose fields and captured terms were held against the conditions; `matched`:
      those that the query answers
    * `duration_ns`: time spent, waiting for writers not included; `complete`: whether all that was recorded before had been
      taken in
    * `losses`: what was lost within the window of the query, each as a map of `from`, `until`, `count`, `cause` and `writer`;
      `lost`: how many events in all; `evicted`: how many have left the store, where the window reaches behind the oldest
  """
  @type explanation :: %{
          segments: non_neg_integer,
          scanned: non_neg_integer,
          pruned: %{optional(atom) => pos_integer},
          indexes: [atom],
          rows: non_neg_integer,
          verified: non_neg_integer,
          matched: non_neg_integer,
          duration_ns: non_neg_integer,
          complete: boolean,
          losses: [map],
          lost: non_neg_integer,
          evicted: non_neg_integer
        }

  @doc """
  Runs a query, and answers how it went in place of the events.
  """
  @spec explain(keyword) :: explanation | Query.error()
  def explain(opts \\ []) do
    Query.ask(opts, [], "ElixirScope.Query.Engine.explain/1", &Native.explain/1)
  end

  @doc """
  What a query would cost, without running it: the segments and rows that it would look at, and at most how many
  of them match, from zone maps and indexes alone.

      iex> ElixirScope.start()
      iex> %{segments: segments, rows: rows} = ElixirScope.Query.Engine.estimate_query_cost(pid: self())
      iex> segments >= 0 and rows >= 0
      true
  """
  @spec estimate_query_cost(keyword) ::
          %{segments: non_neg_integer, rows: non_neg_integer, matches: non_neg_integer} | Query.error()
  def estimate_query_cost(opts \\ []) do
    Query.ask(opts, [], "ElixirScope.Query.Engine.estimate_query_cost/1", &Native.estimate/1)
  end
end
