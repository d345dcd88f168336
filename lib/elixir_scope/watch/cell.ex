defmodule ElixirScope.Watch.Cell do
  @moduledoc false

  # What a watched process and its follower share: limits and counts, in one array of atomics. Written by the one as well as the
  # other, and read at every change, so that neither has to ask the other.

  @closed 1
  @recorded 2
  @tell_recorded 3
  @most_recorded 4
  @tell_rate 5
  @most_rate 6
  @second 7
  @in_second 8
  @looking 9
  @handed 10
  @digest 11
  @until_ms 12
  @size 12

  # More than anything is counted up to.
  @endless 0x0FFF_FFFF_FFFF_FFFF

  @type t :: :atomics.atomics_ref()
  @type limit :: :infinity | pos_integer

  @doc "A new one, open, in which `recorded` changes are counted already."
  @spec new(non_neg_integer) :: t
  def new(recorded \\ 0) do
    cell = :atomics.new(@size, [])
    :atomics.put(cell, @recorded, recorded)
    :atomics.put(cell, @digest, -1)
    cell
  end

  @doc "The end, for when no follower is there any more to see to it: milliseconds from now."
  @spec until(t, limit) :: :ok
  def until(cell, left_ms) do
    now = :erlang.monotonic_time(:millisecond)
    :atomics.put(cell, @until_ms, if(left_ms == :infinity, do: @endless, else: now + left_ms))
  end

  @doc "From where on the follower is told, and where the process stops by itself."
  @spec limit(t, :recorded | :rate, tell :: limit, most :: limit) :: :ok
  def limit(cell, :recorded, tell, most), do: put_limits(cell, @tell_recorded, tell, @most_recorded, most)
  def limit(cell, :rate, tell, most), do: put_limits(cell, @tell_rate, tell, @most_rate, most)

  defp put_limits(cell, tell_at, tell, most_at, most) do
    :atomics.put(cell, tell_at, number(tell))
    :atomics.put(cell, most_at, number(most))
  end

  defp number(:infinity), do: @endless
  defp number(limit), do: limit

  @spec close(t) :: :ok
  def close(cell), do: :atomics.put(cell, @closed, 1)

  @spec closed?(t) :: boolean
  def closed?(cell), do: :atomics.get(cell, @closed) == 1

  @doc "How many changes have been recorded."
  @spec recorded(t) :: non_neg_integer
  def recorded(cell), do: :atomics.get(cell, @recorded)

  @doc """
  Counts a change: `:record` it or not. The follower is to be told of a limit that one of several watches has come to; at the last
  limit of all the cell is closed.
  """
  @spec count(t) :: :record | {:record, told :: tuple} | {:over, told :: tuple}
  def count(cell) do
    now_ms = :erlang.monotonic_time(:millisecond)
    in_second = count_second(cell, Integer.floor_div(now_ms, 1_000))

    cond do
      now_ms > :atomics.get(cell, @until_ms) -> over(cell, {:for, now_ms})
      in_second > :atomics.get(cell, @most_rate) -> over(cell, {:rate, in_second})
      true -> count_recorded(cell, :atomics.add_get(cell, @recorded, 1), in_second)
    end
  end

  defp over(cell, why) do
    close(cell)
    {:over, why}
  end

  defp count_recorded(cell, recorded, in_second) do
    if recorded >= :atomics.get(cell, @most_recorded), do: close(cell)

    cond do
      recorded >= :atomics.get(cell, @tell_recorded) -> {:record, {:recorded, recorded}}
      in_second > :atomics.get(cell, @tell_rate) -> {:record, {:rate, in_second}}
      true -> :record
    end
  end

  defp count_second(cell, now) do
    if :atomics.exchange(cell, @second, now) != now, do: :atomics.put(cell, @in_second, 0)
    :atomics.add_get(cell, @in_second, 1)
  end

  # -- Looks: of processes whose events do not carry the state ------------------------------------------------------------

  # A look that did not come back in this time was lost, as in a `receive` that takes everything.
  @lost_after_s 2

  @doc "An event has been handled: whether a look at the state is to be ordered, since none is under way."
  @spec order_look?(t) :: boolean
  def order_look?(cell) do
    now = :erlang.monotonic_time(:second)
    ordered = :atomics.get(cell, @looking)

    # monotonic seconds are far below 0, which stands for none
    if ordered == 0 or now - ordered > @lost_after_s do
      :atomics.put(cell, @looking, now)
      true
    else
      false
    end
  end

  @doc "The look has come."
  @spec looked(t) :: :ok
  def looked(cell), do: :atomics.put(cell, @looking, 0)

  @doc "Whether the state is another one than at the last look, by its digest."
  @spec other?(t, term) :: boolean
  def other?(cell, state) do
    digest = Bitwise.bsl(:erlang.phash2(state, 0x8000_0000), 28) + :erlang.phash2({state}, 0x1000_0000)
    :atomics.exchange(cell, @digest, digest) != digest
  end

  # -- One debug function takes over from another one -----------------------------------------------------------------------

  @spec hand_over(t) :: :ok
  def hand_over(cell), do: :atomics.put(cell, @handed, 1)

  @spec handed_over?(t) :: boolean
  def handed_over?(cell), do: :atomics.get(cell, @handed) == 1
end
