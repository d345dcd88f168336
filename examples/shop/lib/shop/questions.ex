defmodule Shop.Questions do
  @moduledoc """
  Questions to the tape, as one would ask them after a bad day in the shop.

  Each answers with plain data; `Shop.Print` shows it.

      iex> Shop.Questions.slowest_checkouts(3) |> Shop.Print.checkouts()
      iex> Shop.Questions.request_of_order(17) |> Shop.Print.events()
      iex> Shop.Questions.cart("cart-17") |> Shop.Print.states()
      iex> Shop.Questions.crashes() |> List.last() |> Shop.Questions.before_crash() |> Shop.Print.crash()
  """

  alias ElixirScope.Events.{FunctionEntry, FunctionExit, MessageSend, StateChange}
  alias Shop.Tape

  @typedoc "Time by what it was spent on: a function of the checkout's own process, or a callback in another one."
  @type part :: {mfa(), duration_ns :: non_neg_integer()}

  @type checkout :: %{
          cart: Shop.cart_id(),
          duration_ns: non_neg_integer(),
          wall_time: integer(),
          correlation_id: pos_integer(),
          parts: [part()],
          queue_ns: non_neg_integer(),
          rest_ns: integer()
        }

  @typedoc "A function that failed: it was left by an exception, or it answered `{:error, reason}`."
  @type failure :: %{function: mfa(), error: term(), raised?: boolean(), times: pos_integer()}

  @typedoc "A request from one process to another, how long it waited and was worked on, and what was answered."
  @type exchange :: %{at: integer(), request: term(), reply: term(), wait_ns: integer(), work_ns: integer()}

  @type crash :: %{
          at: integer(),
          wall_time: integer(),
          event_id: pos_integer(),
          pid: pid(),
          callback: atom(),
          message: term(),
          state: term(),
          order: Shop.Order.t(),
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

  @doc """
  The slowest checkouts, slowest first, each with what it spent its time on: its own calls, the callbacks of other processes
  that worked for it, and until these took up what it had asked them. The rest is waiting for a core, and what is not recorded.
  """
  @spec slowest_checkouts(pos_integer(), keyword()) :: [checkout()]
  def slowest_checkouts(count \\ 5, opts \\ []) do
    Shop.Checkout
    |> Tape.ends(:run, opts)
    |> Enum.sort_by(& &1.duration_ns, :desc)
    |> Enum.take(count)
    |> Enum.map(&checkout/1)
  end

  defp checkout(%FunctionExit{} = ended) do
    began = Tape.beginning(ended)
    [cart | _payment] = began.args

    events = Tape.all(after: began.id, before: ended.id, correlation_id: ended.correlation_id)

    parts =
      for(%FunctionExit{} = exit <- events, exit.duration_ns, part?(exit, began), do: exit)
      |> Enum.group_by(&{&1.module, &1.function, &1.arity}, & &1.duration_ns)
      |> Enum.map(fn {function, durations} -> {function, Enum.sum(durations)} end)
      |> Enum.sort_by(fn {_function, duration_ns} -> -duration_ns end)

    queue_ns = queue_ns(events)

    %{
      cart: cart,
      duration_ns: ended.duration_ns,
      wall_time: began.wall_time,
      correlation_id: ended.correlation_id,
      parts: parts,
      queue_ns: queue_ns,
      rest_ns: ended.duration_ns - queue_ns - (parts |> Enum.map(&elem(&1, 1)) |> Enum.sum())
    }
  end

  # A process has asked one other at a time, so that the next callback there is for what it asked.
  defp queue_ns(events) do
    for(
      %MessageSend{send_type: :call} = send <- events,
      entry =
        Enum.find(events, &(match?(%FunctionEntry{}, &1) and &1.pid == send.receiver_pid and &1.id > send.id)),
      do: entry.timestamp - send.timestamp
    )
    |> Enum.sum()
  end

  # What it called itself, and what other processes did while it waited for their answers.
  defp part?(%{parent_id: parent, pid: pid}, %{id: parent, pid: pid}), do: true
  defp part?(%{function: :handle_call}, _checkout), do: true
  defp part?(_exit, _checkout), do: false

  @doc "All that one request led to, in order, in whichever process."
  @spec request(correlation_id :: pos_integer()) :: [struct()]
  def request(correlation_id), do: Tape.all(correlation_id: correlation_id)

  @doc "All that the request led to in which an order was placed; `[]` for an order never seen."
  @spec request_of_order(Shop.Order.id()) :: [struct()]
  def request_of_order(order_id) do
    case Tape.ends(Shop.OrderBook, :place, where: [{[:result, :id], :==, order_id}]) do
      [placed] -> request(placed.correlation_id)
      [] -> []
    end
  end

  @doc "Every state that a cart came to, from the empty one on; `[]` for a cart never seen."
  @spec cart(Shop.cart_id()) :: [%StateChange{}]
  def cart(cart_id), do: Tape.states(Shop.Cart, where: [{[:new_state, :id], :==, cart_id}])

  @doc "Everything that a cart's process did, in order, from its first event to its last; `[]` for a cart never seen."
  @spec life(Shop.cart_id()) :: [struct()]
  def life(cart_id) do
    case cart(cart_id) do
      [opened | _more] -> Tape.all(pid: opened.pid, after: (opened.parent_id || opened.id) - 1)
      [] -> []
    end
  end

  @doc """
  What failed, most often first: functions that were left by an exception, and functions and callbacks that answered
  `{:error, reason}`. Of an error that is handed on, only the first to have it counts.
  """
  @spec failures(keyword()) :: [failure()]
  def failures(opts \\ []) do
    (raised(opts) ++ answered(opts))
    |> Enum.sort_by(& &1.id)
    |> Enum.uniq_by(&{&1.correlation_id, &1.raised? && &1.pid, &1.error})
    |> Enum.frequencies_by(&Map.take(&1, [:function, :error, :raised?]))
    |> Enum.map(fn {failure, times} -> Map.put(failure, :times, times) end)
    |> Enum.sort_by(&{-&1.times, &1.function})
  end

  defp raised(opts) do
    for %FunctionExit{exit_reason: {class, reason, stacktrace}} = exit <- Tape.all(Tape.raised(opts)),
        do: failed(exit, normalize(class, reason, stacktrace), true)
  end

  # A tail call ends with the result of what it called: that one is the first to have it.
  defp answered(opts) do
    ended = [event_type: :function_exit] ++ opts
    returned = [{[:exit_reason], :==, :normal}, {[:result, 0], :==, :error}]
    replied = [{[:result, 0], :==, :reply}, {[:result, 1, 0], :==, :error}]

    for(
      %{result: {:error, reason}} = exit <- Tape.all([where: returned] ++ ended),
      do: failed(exit, reason, false)
    ) ++
      for exit <- Tape.all([where: replied] ++ ended),
          {:error, reason} <- [elem(exit.result, 1)],
          do: failed(exit, reason, false)
  end

  defp failed(exit, error, raised?) do
    exit
    |> Map.take([:id, :pid, :correlation_id])
    |> Map.merge(%{function: {exit.module, exit.function, exit.arity}, error: error, raised?: raised?})
  end

  @doc "What one process asked another, and was answered, in order."
  @spec exchanges(from :: pid(), to :: pid(), keyword()) :: [exchange()]
  def exchanges(from, to, opts \\ []) do
    sent = Tape.all([pid: from, event_type: :message_send, where: [{[:receiver_pid], :==, to}]] ++ opts)

    # The sender of a call waits for its answer: what it asked first was handled first.
    handled =
      Tape.all([pid: to, event_type: :function_entry, function: :handle_call] ++ opts)
      |> Enum.filter(&match?([_request, {^from, _tag}, _state], &1.args))

    for {send, %FunctionEntry{} = entry} <- Enum.zip(Enum.filter(sent, &(&1.send_type == :call)), handled) do
      [reply, ended] =
        for type <- [:callback_reply, :function_exit], do: Tape.newest(call_id: entry.id, event_type: type)

      %{
        at: send.timestamp,
        request: send.message,
        reply: reply.reply,
        wait_ns: entry.timestamp - send.timestamp,
        work_ns: ended.duration_ns
      }
    end
  end

  @doc "What the process that first asked a cart something asked it, and was answered."
  @spec asked_of_cart(Shop.cart_id()) :: [exchange()]
  def asked_of_cart(cart_id) do
    with [%StateChange{pid: cart} | _more] <- cart(cart_id),
         [%FunctionEntry{args: [_request, {asker, _tag}, _state]} | _others] <-
           Tape.calls(Shop.Cart, :handle_call, pid: cart) do
      exchanges(asker, cart)
    else
      [] -> []
    end
  end

  @doc "Every crash of the dispatcher, oldest first: in which callback, at which message, with what in its state and in hand."
  @spec crashes(keyword()) :: [crash()]
  def crashes(opts \\ []) do
    [module: Shop.Dispatcher]
    |> Kernel.++(opts)
    |> Tape.raised()
    |> Tape.all()
    |> Enum.map(&crash/1)
  end

  defp crash(%FunctionExit{exit_reason: {class, reason, stacktrace}} = ended) do
    began = Tape.beginning(ended)
    [message | _more] = began.args

    %{args: [order]} =
      Tape.newest(pid: ended.pid, event_type: :function_entry, module: Shop.Label, before: ended.id)

    %{
      at: ended.timestamp,
      wall_time: ended.wall_time,
      event_id: ended.id,
      pid: ended.pid,
      callback: ended.function,
      message: message,
      state: List.last(began.args),
      order: order,
      reason: normalize(class, reason, stacktrace),
      where: stacktrace |> List.first() |> place()
    }
  end

  defp normalize(:error, reason, stacktrace), do: Exception.normalize(:error, reason, stacktrace)
  defp normalize(_class, reason, _stacktrace), do: reason

  defp place(nil), do: "unknown"
  defp place(frame), do: Exception.format_stacktrace_entry(frame)

  @doc """
  What happened in the time before a crash (a second, unless told otherwise): the worker's own events, the states that it went
  through, those of the cart that it had an order of, and how often everything else happened meanwhile.
  """
  @spec before_crash(crash(), window_ms :: pos_integer()) :: map()
  def before_crash(crash, window_ms \\ 1_000) do
    window = [since: crash.at - window_ms * 1_000_000, before: crash.event_id + 1]

    %{
      crash: crash,
      window_ms: window_ms,
      worker: Tape.all([pid: crash.pid] ++ window),
      states: Tape.all([pid: crash.pid, event_type: :state_change] ++ window),
      cart: cart(crash.order.cart),
      meanwhile:
        [event_type: :function_entry, payload: false]
        |> Kernel.++(window)
        |> Tape.all()
        |> Enum.frequencies_by(&{&1.module, &1.function, &1.arity})
    }
  end

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
