defmodule ElixirScope.Capture.RingBuffer do
  @schema [
    size: [
      type: {:custom, "a power of two from 1 to 16777216", &__MODULE__.cast_size/1},
      doc: "The number of slots, each of which holds one term.",
      default: 1_024
    ],
    overflow_strategy: [
      type:
        {:custom, ":drop_oldest, :drop_newest or {:block, timeout_ms}", &__MODULE__.cast_overflow_strategy/1},
      default: :drop_oldest,
      doc:
        "What happens to a write when all slots are in use: the oldest term gives way; the new one is refused; or the writer waits."
    ]
  ]

  @moduledoc """
  A bounded ring of terms in native memory, for many writers and many readers.

  For tools that pass terms from many processes to some others without a mailbox in between. It has nothing to do with the
  recorder: it needs no running one, knows no budgets, and masks nothing. A term is copied into the ring, and out of it.

  A reader keeps its own position, which begins at 0:

      iex> alias ElixirScope.Capture.RingBuffer
      iex> {:ok, ring} = RingBuffer.new(size: 4)
      iex> for n <- 1..3, do: RingBuffer.write(ring, {:number, n})
      [:ok, :ok, :ok]
      iex> {:ok, {:number, 1}, next} = RingBuffer.read(ring, 0)
      iex> RingBuffer.read_batch(ring, next, 10)
      {[number: 2, number: 3], 3, 0}
      iex> RingBuffer.read(ring, 3)
      :empty

  The highest position that was read acknowledges all before it, and frees those slots. A reader that fell behind a ring that
  drops its oldest terms is told how many it missed:

      iex> alias ElixirScope.Capture.RingBuffer
      iex> {:ok, ring} = RingBuffer.new(size: 2, overflow_strategy: :drop_oldest)
      iex> for n <- 1..5, do: RingBuffer.write(ring, n)
      iex> RingBuffer.read(ring, 0)
      {:lapped, 3, 3}
      iex> RingBuffer.read(ring, 3)
      {:ok, 4, 4}

  ## Options of `new/1`

  #{ElixirScope.Options.docs(@schema)}
  """

  alias ElixirScope.{Error, Muted, Native, Options}

  @enforce_keys [:ref, :size, :overflow_strategy]
  defstruct @enforce_keys

  @type overflow_strategy :: :drop_oldest | :drop_newest | {:block, timeout_ms :: non_neg_integer}
  @type t :: %__MODULE__{ref: reference, size: pos_integer, overflow_strategy: overflow_strategy}

  @typedoc "Counts the terms written since the ring was made; a reader begins at 0."
  @type position :: non_neg_integer

  @doc """
  Makes a ring. It lives until it is destroyed, or nothing refers to it any more.

      iex> ElixirScope.Capture.RingBuffer.new(size: 1_000)
      {:error,
       %ElixirScope.Error{reason: {:invalid_option, :size, 1000, "a power of two from 1 to 16777216"}}}
  """
  @spec new(keyword) :: {:ok, t} | {:error, Error.t()}
  def new(opts \\ []), do: Muted.run(fn -> make(opts) end)

  defp make(opts) do
    with {:ok, %{size: size, overflow_strategy: strategy}} <- Options.validate(opts, @schema),
         nil <- Native.load_failure(),
         {:ok, ref} <- Native.ring_new(size, policy(strategy)) do
      {:ok, %__MODULE__{ref: ref, size: size, overflow_strategy: strategy}}
    else
      %Error{} = failure -> {:error, failure}
      {:error, %Error{}} = error -> error
      {:error, reason} -> {:error, %Error{reason: reason, details: %{what: "making a ring of terms"}}}
    end
  end

  @doc """
  Writes a term; `{:error, :buffer_full}` where the ring is full and its strategy is not `:drop_oldest`.

  With `{:block, timeout_ms}` the calling process waits that long for a free slot; no scheduler is blocked.
  """
  @spec write(t, term) :: :ok | {:error, :buffer_full | Error.t()}
  def write(%__MODULE__{ref: ref} = ring, term) do
    case put(ref, term) do
      :ok -> :ok
      {:error, :buffer_full} -> full(ring, term)
      {:error, :destroyed} -> destroyed()
      {:error, :too_big} -> Error.invalid(:term, term, "a term that takes at most 64 MiB")
    end
  end

  @doc """
  Reads the term at a position.

    * `{:ok, term, next}`: the term, and the position of the next one
    * `{:lapped, missed, next}`: it has given way, as `missed` terms in all; the oldest one is at `next`
    * `:empty`: it has not been written yet
  """
  @spec read(t, position) ::
          {:ok, term, position} | {:lapped, pos_integer, position} | :empty | {:error, Error.t()}
  def read(%__MODULE__{ref: ref}, position) do
    with :ok <- position(position),
         {:error, :destroyed} <- Native.ring_read(ref, position),
         do: destroyed()
  end

  @doc "Reads up to `max` terms from a position on: the terms, the next position, and how many were missed."
  @spec read_batch(t, position, pos_integer) ::
          {[term], next :: position, missed :: non_neg_integer} | {:error, Error.t()}
  def read_batch(%__MODULE__{ref: ref}, position, max) do
    with :ok <- position(position),
         :ok <- max(max),
         {:error, :destroyed} <- Native.ring_read_batch(ref, position, max),
         do: destroyed()
  end

  @doc """
  The figures of a ring.

    * `size`: its slots
    * `available`: terms that are written and not acknowledged
    * `total_writes`: writes that were accepted
    * `dropped`: terms that gave way unread, or were refused
    * `utilization`: `available` as a share of `size`
    * `bytes`: memory of the ring and of the terms in it

  ```
  iex> {:ok, ring} = ElixirScope.Capture.RingBuffer.new(size: 4)
  iex> ElixirScope.Capture.RingBuffer.write(ring, :term)
  iex> %{size: 4, available: 1, total_writes: 1, dropped: 0, utilization: 0.25} =
  ...>   ElixirScope.Capture.RingBuffer.stats(ring)
  ```
  """
  @spec stats(t) :: map | {:error, Error.t()}
  def stats(%__MODULE__{ref: ref, size: size}) do
    case Native.ring_stats(ref) do
      %{available: available} = stats -> Map.put(stats, :utilization, available / size)
      {:error, :destroyed} -> destroyed()
    end
  end

  @doc "The number of slots."
  @spec size(t) :: pos_integer
  def size(%__MODULE__{size: size}), do: size

  @doc "Acknowledges all that has been written."
  @spec clear(t) :: :ok | {:error, Error.t()}
  def clear(%__MODULE__{ref: ref}) do
    with {:error, :destroyed} <- Native.ring_clear(ref), do: destroyed()
  end

  @doc "Frees the memory of a ring; what is done with it afterwards is an error."
  @spec destroy(t) :: :ok
  def destroy(%__MODULE__{ref: ref}), do: Native.ring_destroy(ref)

  # -- Waiting for a slot -----------------------------------------------------------------------------------------------

  defp policy({:block, _timeout_ms}), do: :block
  defp policy(strategy), do: strategy

  defp put(ref, term) do
    with {:error, :large} <- Native.ring_write(ref, term), do: Native.ring_write_large(ref, term)
  end

  defp full(%__MODULE__{overflow_strategy: {:block, timeout_ms}} = ring, term) do
    write_again(ring.ref, term, System.monotonic_time(:microsecond) + timeout_ms * 1_000, 0)
  end

  defp full(_ring, _term), do: {:error, :buffer_full}

  # A reader that is at work frees a slot within microseconds: other processes are let in first, then it is waited in earnest.
  defp write_again(ref, term, deadline, tries) do
    case put(ref, term) do
      :ok ->
        :ok

      {:error, :destroyed} ->
        destroyed()

      {:error, :buffer_full} ->
        if System.monotonic_time(:microsecond) >= deadline do
          Native.ring_refused(ref)
          {:error, :buffer_full}
        else
          if tries < 16, do: :erlang.yield(), else: Process.sleep(1)
          write_again(ref, term, deadline, tries + 1)
        end
    end
  end

  # -- Arguments and answers --------------------------------------------------------------------------------------------

  @doc false
  @spec cast_size(term) :: {:ok, pos_integer} | :error
  def cast_size(size) when is_integer(size) and size in 1..0x100_0000 do
    if Bitwise.band(size, size - 1) == 0, do: {:ok, size}, else: :error
  end

  def cast_size(_other), do: :error

  @doc false
  @spec cast_overflow_strategy(term) :: {:ok, overflow_strategy} | :error
  def cast_overflow_strategy(strategy) when strategy in [:drop_oldest, :drop_newest], do: {:ok, strategy}
  def cast_overflow_strategy({:block, ms} = strategy) when is_integer(ms) and ms >= 0, do: {:ok, strategy}
  def cast_overflow_strategy(_other), do: :error

  defp position(position) when is_integer(position) and position in 0..0x7FFF_FFFF_FFFF_FFFF, do: :ok

  defp position(other),
    do: Error.invalid(:position, other, "a position: 0, or what a read answered as the next one")

  defp max(max) when is_integer(max) and max in 1..0x7FFF_FFFF_FFFF_FFFF, do: :ok
  defp max(other), do: Error.invalid(:max, other, "a positive integer")

  defp destroyed, do: {:error, %Error{reason: :destroyed, details: %{what: "the ring"}}}

  defimpl Inspect do
    import Inspect.Algebra

    def inspect(ring, opts) do
      strategy = to_doc(ring.overflow_strategy, opts)

      case ElixirScope.Capture.RingBuffer.stats(ring) do
        %{available: available, dropped: dropped} ->
          concat([
            "#ElixirScope.Capture.RingBuffer<#{available} of #{ring.size} slots in use, #{dropped} dropped, ",
            strategy,
            ">"
          ])

        {:error, _destroyed} ->
          "#ElixirScope.Capture.RingBuffer<destroyed>"
      end
    end
  end
end
