defmodule Shop.Audit.Past.Shelves do
  @moduledoc """
  The stock at past instants is what was there at first, with what was delivered, without what was sold; each checkout took what it had
  in its cart; and the last one that took a product is the one that the shoppers know.
  """

  alias ElixirScope.Events.{PerformanceMetric, StateChange}
  alias Shop.{Catalogue, Tape}
  alias Shop.Audit.Verdict
  alias Shop.Load.{Ledger, Shelves}

  @doc false
  def judge(ledger) do
    window = Ledger.window(ledger)
    inventory = Process.whereis(Shop.Inventory)
    looks = for %{step: :products} = entry <- ledger.entries, do: Shelves.stock(entry)
    takings = Shelves.takings(ledger)
    deliveries = deliveries(inventory, window)
    rests = Enum.filter(Ledger.parts(ledger), &(&1.entries != []))
    requests = Map.new(Tape.ends(Shop.Web.Request, :new, window), &{&1.correlation_id, &1.result})

    questions =
      for part <- rests, sku <- Map.keys(Catalogue.products()), way <- [:before, :after], do: {part, sku, way}

    [
      {"stock whenever the shop was at rest", 2 * length(rests),
       Enum.flat_map(rests, &at_rest(&1, inventory, deliveries))},
      {"stock whenever a shopper looked", length(looks), looked(looks, inventory, window)},
      {"what checkouts took and put back", takings |> Enum.map(&moves/1) |> Enum.sum(),
       taken(takings, inventory, deliveries, requests, window)},
      {"last and first changes of a product's stock, by their requests", length(questions),
       for({part, sku, way} <- questions, do: turn(part, sku, way, inventory, requests))}
    ]
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

  defp at_rest(part, inventory, deliveries) do
    opening = Shelves.opening(part)
    sold = Shelves.sold(part)

    delivered =
      for {change, sku, units} <- deliveries, change.timestamp in part.since..part.until, do: {sku, units}

    closing =
      Map.new(opening, fn {sku, units} ->
        {sku, units + Enum.sum(for {^sku, units} <- delivered, do: units) - Map.get(sold, sku, 0)}
      end)

    for {at, stock} <- [{part.since, opening}, {part.until, closing}],
        do: Verdict.on(Tape.state_at(inventory, at), &(&1 == stock))
  end

  # What shoppers were told, in whichever order: each look is on the tape, and has the state of its instant.
  defp looked(looks, inventory, window) do
    calls = Tape.calls(Shop.Inventory, :handle_call, [where: [{[:args, 0], :==, :stock}]] ++ window)

    {verdicts, _untold} =
      Enum.map_reduce(calls, Enum.frequencies(looks), fn call, told ->
        state = Tape.state_at(inventory, call.timestamp)
        verdict = Verdict.on(state, &(Map.get(told, &1, 0) > 0))
        {verdict, if(verdict.outcome == :right, do: Map.update!(told, elem(state, 1), &(&1 - 1)), else: told)}
      end)

    verdicts
  end

  defp moves(%{entry: %{status: 402}}), do: 2
  defp moves(%{entry: %{status: 201}}), do: 1

  defp taken(takings, inventory, deliveries, requests, window) do
    changes = Enum.group_by(Tape.history(inventory, window), &cart(requests[&1.correlation_id]))
    delivered = Enum.group_by(deliveries, fn {change, _sku, _units} -> change.id end, &Tuple.delete_at(&1, 0))

    Enum.flat_map(takings, fn %{entry: entry, lines: lines} = taking ->
      during =
        Enum.filter(Map.get(changes, entry.cart, []), &(&1.timestamp in entry.asked_at..entry.answered_at))

      signs = Enum.take([-1, +1], moves(taking))

      if length(during) == length(signs),
        do: Enum.zip_with(during, signs, &moved(inventory, &1, lines, &2, Map.get(delivered, &1.id, []))),
        else: Enum.map(signs, fn _sign -> Verdict.new(false, nil) end)
    end)
  end

  defp moved(inventory, change, lines, sign, delivered) do
    known =
      for {sku, units} <- lines,
          difference = sign * units + Enum.sum(for {^sku, units} <- delivered, do: units),
          into: %{},
          do: {[sku], difference}

    case Tape.diff(inventory, change.timestamp - 1, change.timestamp) do
      {:ok, diff} -> Verdict.new(Map.new(diff, &{&1.path, &1.new - &1.old}) == known, change.quality)
      {:error, :evicted} -> Verdict.untold()
      {:error, _reason} -> Verdict.new(false, nil)
    end
  end

  # Where several checkouts took the product at the same time, the shoppers do not know which of them was the last.
  defp turn(part, sku, way, inventory, requests) do
    takings = Enum.filter(Shelves.takings(part), &is_map_key(&1.lines, sku))
    at = if way == :before, do: part.until, else: part.since

    case Tape.last_change(inventory, [sku], [{way, at}]) do
      {:ok, change} when takings == [] -> Verdict.new(outside?(change, part), change.quality)
      {:ok, change} -> Verdict.new(by_one_of?(change, candidates(takings, way), requests), change.quality)
      {:error, :evicted} -> Verdict.untold()
      {:error, _never} -> Verdict.new(takings == [], nil)
    end
  end

  defp outside?(change, part), do: change.timestamp not in part.since..part.until

  defp candidates(takings, :before) do
    last_asked = takings |> Enum.map(& &1.entry.asked_at) |> Enum.max()
    Enum.filter(takings, &(&1.entry.answered_at >= last_asked))
  end

  defp candidates(takings, :after) do
    first_answered = takings |> Enum.map(& &1.entry.answered_at) |> Enum.min()
    Enum.filter(takings, &(&1.entry.asked_at <= first_answered))
  end

  defp by_one_of?(change, takings, requests) do
    cart = cart(requests[change.correlation_id])

    Enum.any?(
      takings,
      &(&1.entry.cart == cart and change.timestamp in &1.entry.asked_at..&1.entry.answered_at)
    )
  end

  defp cart(%{path: ["carts", cart, "checkout"]}), do: cart
  defp cart(_request), do: nil
end
