defmodule Shop.Questions do
  @moduledoc """
  Questions to the tape, as one would ask them after a bad day in the shop.

  Each answers with plain data; `Shop.Print` shows it.

      iex> Shop.Questions.slowest_checkouts(3) |> Shop.Print.checkouts()
      iex> Shop.Questions.cart("cart-17") |> Shop.Print.events()
      iex> Shop.Questions.crashes() |> List.last() |> Shop.Questions.before_crash() |> Shop.Print.crash()
  """

  alias ElixirScope.Events.Span
  alias Shop.Tape

  @type checkout :: %{
          cart: Shop.cart_id(),
          duration_ns: non_neg_integer(),
          wall_time: integer(),
          parts: [{name :: String.t(), duration_ns :: non_neg_integer()}],
          rest_ns: non_neg_integer()
        }

  @type crash :: %{
          at: integer(),
          wall_time: integer(),
          event_id: pos_integer(),
          pid: pid(),
          order: Shop.Order.id(),
          cart: Shop.cart_id(),
          reason: Exception.t() | term(),
          where: String.t()
        }

  @doc "Events recorded and lost since the recorder started, and how many a second came in between two instants of the tape."
  @spec throughput(since :: integer(), until :: integer()) :: map()
  def throughput(since, until) do
    status = Tape.status()
    events = Tape.count(since: since, until: until)

    %{
      recorded: status.capture.events,
      lost: status.capture.lost |> Map.values() |> Enum.sum(),
      in_window: events,
      window_ns: until - since,
      per_second: round(events * 1_000_000_000 / max(until - since, 1))
    }
  end

  @doc "The slowest checkouts, slowest first, each with the spans that its process went through; the rest was waiting for others."
  @spec slowest_checkouts(pos_integer(), keyword()) :: [checkout()]
  def slowest_checkouts(count \\ 5, opts \\ []) do
    "checkout"
    |> Tape.ended_spans(opts)
    |> Enum.sort_by(& &1.duration_ns, :desc)
    |> Enum.take(count)
    |> Enum.map(&checkout/1)
  end

  defp checkout(%Span{} = stop) do
    start = Tape.beginning(stop)

    parts =
      [pid: stop.pid, event_type: :span_stop, after: start.id, before: stop.id]
      |> Tape.all()
      |> Enum.map(&{&1.name, &1.duration_ns})

    %{
      cart: start.metadata.cart,
      duration_ns: stop.duration_ns,
      wall_time: start.wall_time,
      parts: parts,
      rest_ns: stop.duration_ns - (parts |> Enum.map(&elem(&1, 1)) |> Enum.sum())
    }
  end

  @doc "Everything that a cart's process did, in order, from its first event to its last; `[]` for a cart never seen."
  @spec cart(Shop.cart_id()) :: [struct()]
  def cart(cart_id) do
    case Tape.events(:cart_opened, where: [{[:data, :cart], :==, cart_id}]) do
      [opened | _none] -> Tape.all(pid: opened.pid, since: opened.timestamp)
      [] -> []
    end
  end

  @doc "All that the tape knows about an order, in order, whichever process recorded it."
  @spec order(Shop.Order.id()) :: [struct()]
  def order(order_id) do
    placed = Tape.all(where: [{[:data, :order], :==, order_id}])
    spans = Tape.all(where: [{[:metadata, :order], :==, order_id}])
    ends = Enum.flat_map(spans, &Tape.all(call_id: &1.id))
    Enum.sort_by(Enum.uniq_by(placed ++ spans ++ ends, & &1.id), & &1.id)
  end

  @doc "Every crash of the dispatcher, oldest first."
  @spec crashes(keyword()) :: [crash()]
  def crashes(opts \\ []) do
    "dispatch"
    |> Tape.ended_spans([where: [{[:exit_reason], :!=, :normal}]] ++ opts)
    |> Enum.map(&crash/1)
  end

  defp crash(%Span{exit_reason: {class, reason, stacktrace}} = stop) do
    %{metadata: %{order: order, cart: cart}} = Tape.beginning(stop)

    %{
      at: stop.timestamp,
      wall_time: stop.wall_time,
      event_id: stop.id,
      pid: stop.pid,
      order: order,
      cart: cart,
      reason: if(class == :error, do: Exception.normalize(:error, reason, stacktrace), else: reason),
      where: stacktrace |> List.first() |> place()
    }
  end

  defp place(nil), do: "unknown"
  defp place(frame), do: Exception.format_stacktrace_entry(frame)

  @doc """
  What happened in the time before a crash (a second, unless told otherwise): the worker's own events, all about the
  order that it had in hand, and how often everything else happened meanwhile.
  """
  @spec before_crash(crash(), window_ms :: pos_integer()) :: map()
  def before_crash(crash, window_ms \\ 1_000) do
    window = [since: crash.at - window_ms * 1_000_000, before: crash.event_id + 1]

    %{
      crash: crash,
      window_ms: window_ms,
      worker: Tape.all([pid: crash.pid] ++ window),
      cart: cart(crash.cart),
      meanwhile: window |> Tape.all() |> Enum.frequencies_by(&name/1)
    }
  end

  defp name(%{name: name}), do: name
  defp name(%{metric_name: name}), do: name
  defp name(%{event_type: type}), do: type

  @doc "What the recorder holds in memory, in bytes."
  @spec memory() :: map()
  def memory do
    status = Tape.status()

    %{
      events: status.store.events,
      segments: status.store.segments,
      evicted: status.store.evicted,
      rings: status.capture.bytes,
      store: status.store.bytes.total,
      store_limit: status.store.memory_limit,
      node: :erlang.memory(:total)
    }
  end
end
