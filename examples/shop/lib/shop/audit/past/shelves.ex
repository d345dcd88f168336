defmodule Shop.Audit.Past.Shelves do
  @moduledoc """
  The stock at past instants is what was there at first, with what was delivered, without what was sold; each checkout took what it had
  in its cart; and the last one that took a product is one that the shoppers know.
  """

  alias ElixirScope.Events.{PerformanceMetric, StateChange}
  alias Shop.{Catalogue, Tape}
  alias Shop.Audit.Verdict
  alias Shop.Load.{Entry, Ledger, Shelves}

  @doc false
  def judge(ledger) do
    tape = tape(Ledger.window(ledger))
    rests = Enum.reject(Ledger.parts(ledger), &(&1.entries == []))
    looks = for %{step: :products} = entry <- ledger.entries, do: Entry.units(entry)
    takings = Shelves.takings(ledger)
    turns = Enum.flat_map(rests, &turns(&1, tape))

    [
      {"stock whenever the shop was at rest", 2 * length(rests), Enum.flat_map(rests, &at_rest(&1, tape))},
      {"stock whenever a shopper looked", length(looks), looked(looks, tape)},
      {"what checkouts took and put back", takings |> Enum.map(&moves/1) |> Enum.sum(), taken(takings, tape)},
      {"first and last changes of a product's stock, by their requests", length(turns), turns}
    ]
  end

  defp tape(window) do
    inventory = Process.whereis(Shop.Inventory)
    requests = Map.new(Tape.ends(Shop.Web.Request, :new, window), &{&1.correlation_id, &1.result})
    %{window: window, inventory: inventory, requests: requests, deliveries: deliveries(inventory, window)}
  end

  # A delivery is measured in the callback that puts it on the shelves: it is there from the next state on.
  defp deliveries(inventory, window) do
    [pid: inventory, event_type: [:performance_metric, :state_change]]
    |> Kernel.++(window)
    |> Tape.all()
    |> Enum.reduce({[], []}, fn
      %PerformanceMetric{metadata: metadata}, {open, done} -> {[metadata | open], done}
      %StateChange{} = change, {open, done} -> {[], Enum.map(open, &{change, &1.sku, &1.delivered}) ++ done}
    end)
    |> elem(1)
  end

  defp at_rest(part, tape) do
    sold = Shelves.sold(part)
    opening = Shelves.opening(part)
    delivered = Enum.filter(tape.deliveries, fn {change, _sku, _units} -> in_part?(change, part) end)

    closing =
      Map.new(opening, fn {sku, units} ->
        {sku, units + delivered(delivered, sku) - Map.get(sold, sku, 0)}
      end)

    for {at, stock} <- [{part.since, opening}, {part.until, closing}],
        do: Verdict.on(Tape.state_at(tape.inventory, at), &(&1 == stock))
  end

  defp delivered(deliveries, sku), do: Enum.sum(for {_change, ^sku, units} <- deliveries, do: units)

  defp in_part?(change, part), do: change.timestamp in part.since..part.until

  # Which shopper's look was which on the tape is not known: each look there has the state of its instant, and one of them was told it.
  defp looked(looks, tape) do
    calls = Tape.calls(Shop.Inventory, :handle_call, [where: [{[:args, 0], :==, :stock}]] ++ tape.window)

    {verdicts, _left} =
      Enum.map_reduce(calls, Enum.frequencies(looks), fn call, told ->
        answer = Tape.state_at(tape.inventory, call.timestamp)
        verdict = Verdict.on(answer, &(Map.get(told, &1, 0) > 0))

        {verdict,
         if(verdict.outcome == :right, do: Map.update!(told, elem(answer, 1), &(&1 - 1)), else: told)}
      end)

    verdicts
  end

  # How often a checkout changes the stock.
  defp moves(%{entry: %{status: 201}}), do: 1
  defp moves(%{entry: %{status: 402}}), do: 2

  defp taken(takings, tape) do
    changes = Enum.group_by(Tape.history(tape.inventory, tape.window), &cart(&1, tape))

    Enum.flat_map(takings, fn %{entry: entry, lines: lines} = taking ->
      during = Enum.filter(Map.get(changes, entry.cart, []), &during?(&1, entry))
      signs = Enum.take([-1, +1], moves(taking))

      if length(during) == length(signs),
        do: Enum.zip_with(during, signs, &moved(&1, lines, &2, tape)),
        else: Enum.map(signs, fn _sign -> Verdict.new(false, nil) end)
    end)
  end

  defp moved(change, lines, sign, tape) do
    delivered = Enum.filter(tape.deliveries, fn {at, _sku, _units} -> at.id == change.id end)
    known = Map.new(lines, fn {sku, units} -> {[sku], sign * units + delivered(delivered, sku)} end)

    case Tape.diff(tape.inventory, change.timestamp - 1, change.timestamp) do
      {:ok, diff} -> Verdict.new(Map.new(diff, &{&1.path, &1.new - &1.old}) == known, change.quality)
      {:error, :evicted} -> Verdict.untold()
      {:error, _reason} -> Verdict.new(false, nil)
    end
  end

  defp turns(part, tape) do
    takings = Shelves.takings(part)

    for sku <- Map.keys(Catalogue.products()), way <- [:before, :after] do
      turn(part, Enum.filter(takings, &is_map_key(&1.lines, sku)), sku, way, tape)
    end
  end

  defp turn(part, takings, sku, way, tape) do
    at = if way == :before, do: part.until, else: part.since

    case Tape.last_change(tape.inventory, [sku], [{way, at}]) do
      {:ok, change} when takings == [] -> Verdict.new(not in_part?(change, part), change.quality)
      {:ok, change} -> Verdict.new(by_one_of?(change, candidates(takings, way), tape), change.quality)
      {:error, :evicted} -> Verdict.untold()
      {:error, _never} -> Verdict.new(takings == [], nil)
    end
  end

  # Where several checkouts took the product at the same time, the shoppers do not know which of them was the last.
  defp candidates(takings, :before) do
    last_asked = takings |> Enum.map(& &1.entry.asked_at) |> Enum.max()
    Enum.filter(takings, &(&1.entry.answered_at >= last_asked))
  end

  defp candidates(takings, :after) do
    first_answered = takings |> Enum.map(& &1.entry.answered_at) |> Enum.min()
    Enum.filter(takings, &(&1.entry.asked_at <= first_answered))
  end

  defp by_one_of?(change, takings, tape) do
    cart = cart(change, tape)
    Enum.any?(takings, &(&1.entry.cart == cart and during?(change, &1.entry)))
  end

  defp during?(change, entry), do: change.timestamp in entry.asked_at..entry.answered_at

  # The cart in the path of the request that a change goes back to.
  defp cart(change, tape) do
    case tape.requests[change.correlation_id] do
      %{path: ["carts", cart, "checkout"]} -> cart
      _other -> nil
    end
  end
end
