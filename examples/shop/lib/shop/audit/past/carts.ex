defmodule Shop.Audit.Past.Carts do
  @moduledoc """
  Each cart was opened empty; before, between and after the requests of its shopper, it held what its shopper knows; and each step
  changed what the request asked for, and nothing else.
  """

  alias Shop.Tape
  alias Shop.Audit.Verdict
  alias Shop.Load.{Ledger, Moment}

  @doc false
  def judge(ledger) do
    carts = Ledger.by_cart(ledger)
    moments = Map.new(carts, fn {cart, entries} -> {cart, Moment.of_cart(entries)} end)
    steps = Map.new(moments, fn {cart, moments} -> {cart, steps(moments)} end)
    opened = Tape.states(Shop.Cart, [where: [{[:callback], :==, :init}]] ++ Ledger.window(ledger))
    pids = Map.new(opened, &{&1.new_state.id, &1.pid})

    [
      {"carts as they were opened", map_size(carts), Enum.map(opened, &opened(&1, carts))},
      {"carts at instants of their shoppers", count(moments), held(moments, pids)},
      {"steps of carts, each with what it changed", count(steps), changed(steps, pids)}
    ]
  end

  defp count(by_cart), do: by_cart |> Enum.map(fn {_cart, list} -> length(list) end) |> Enum.sum()

  defp opened(%{pid: pid, timestamp: at}, carts) do
    Verdict.on(
      Tape.state_at(pid, at),
      &(match?(%{lines: lines} when lines == %{}, &1) and is_map_key(carts, &1.id))
    )
  end

  defp held(moments, pids) do
    for {cart, moments} <- moments, moment <- moments do
      case pids do
        %{^cart => pid} -> Verdict.on(Tape.state_at(pid, moment.at), &same?(&1, cart, moment))
        _no_state_in_window -> Verdict.new(false, nil)
      end
    end
  end

  defp same?(state, cart, %{lines: lines} = moment) do
    case state do
      :no_state_recorded -> lines == nil
      {:exited, _at, _reason} -> paid?(moment.entry)
      state -> lines != nil and state == %{id: cart, lines: lines}
    end
  end

  # A cart ends when it has been paid for.
  defp paid?(entry), do: match?(%{step: {:check_out, _card, _postcode}, status: 201}, entry)

  # What has to differ from one moment to the next where the shopper was told of another content.
  defp steps(moments) do
    moments
    |> Enum.map(& &1.lines)
    |> Enum.reject(&is_nil/1)
    |> Enum.dedup()
    |> Enum.chunk_every(2, 1, :discard)
    |> Enum.map(fn [old, new] -> differences(old, new) end)
  end

  defp differences(old, new) do
    for sku <- Enum.sort(Map.keys(Map.merge(old, new))), old[sku] != new[sku] do
      {[:lines, sku], old[sku], new[sku]}
    end
  end

  defp changed(steps, pids) do
    Enum.flat_map(steps, fn {cart, steps} ->
      case pids do
        # The first state of all has nothing before it.
        %{^cart => pid} -> pid |> Tape.history() |> Enum.filter(& &1.state_diff) |> compare(steps)
        _no_state_in_window -> all(steps, Verdict.new(false, nil))
      end
    end)
  end

  defp compare([], steps), do: all(steps, Verdict.untold())

  defp compare(changes, steps) when length(changes) == length(steps) do
    Enum.zip_with(changes, steps, fn change, step ->
      told = for difference <- change.state_diff, do: {difference.path, difference[:old], difference[:new]}
      Verdict.new(Enum.sort(told) == step, change.quality)
    end)
  end

  defp compare(_changes, steps), do: all(steps, Verdict.new(false, nil))

  defp all(steps, verdict), do: Enum.map(steps, fn _step -> verdict end)
end
