defmodule Shop.Demo do
  @moduledoc "Plays shoppers, asks the tape what happened, and holds its answers against what the shoppers know."

  alias Shop.{Audit, Catalogue, Load, Print, Questions}
  alias Shop.Load.{Ledger, Moment, Shelves}
  alias Shop.Questions.Past
  alias Shop.Print.{Progress, Unit}

  @doc "Runs the demo; true if tape and shoppers agree. Options as of `Shop.Load.run/1`."
  @spec run(keyword()) :: boolean()
  def run(opts \\ []) do
    requests = Keyword.get(opts, :requests, 10_000)
    IO.puts("\n#{Unit.count(requests)} requests to #{Shop.Web.url()}\n")
    ledger = play(requests, opts)
    window = ledger |> Audit.held() |> Ledger.window()

    ask(
      "How much was recorded?",
      fn -> Questions.throughput(ledger.since, ledger.until) end,
      &Print.throughput/1
    )

    slowest =
      ask(
        "Which checkouts were the slowest, and why?",
        fn -> Questions.slowest_checkouts(5, window) end,
        &Print.checkouts/1
      )

    ask(
      "What did its request lead to, in all processes? (-> a result, ! a message, = a state)",
      fn -> slowest |> Enum.take(1) |> Enum.flat_map(&Questions.request(&1.correlation_id)) end,
      &Print.events/1
    )

    ask("What failed most, and with what error?", fn -> Questions.failures(window) end, &Print.failures/1)
    carts(ledger)
    checkout(Audit.held(ledger))
    stock(ledger)

    ask(
      "What happened in the second before the dispatcher's last crash, and what did it have in its state?",
      fn -> window |> Questions.crashes() |> List.last() |> story() end,
      &Print.crash/1
    )

    ask(
      "What was the dispatcher's state just before that crash, and how had it come to it?",
      fn -> window |> Questions.crashes() |> List.last() |> Past.crashed() end,
      &Print.Past.crashed/1
    )

    ask("What does the recorder hold?", &Questions.memory/0, &Print.memory/1)
    checks = ask("Does the tape agree with the shoppers?", fn -> Audit.run(ledger) end, &Print.checks/1)
    tell_held(ledger)
    Audit.passed?(checks)
  end

  # Each answer stands under its question and the time that the tape took for it.
  defp ask(text, question, print) do
    began = System.monotonic_time()
    answer = question.()
    took = System.convert_time_unit(System.monotonic_time() - began, :native, :nanosecond)
    IO.puts("\n#{text} (#{Unit.time(took)})\n")
    print.(answer)
    answer
  end

  defp play(requests, opts) do
    ledger =
      Progress.watch("requests", requests, fn step ->
        Load.run([on_answer: step] ++ Keyword.put(opts, :requests, requests))
      end)

    IO.puts("  #{Unit.time(Ledger.duration_ns(ledger))}, #{length(Ledger.orders(ledger))} orders")
    ledger
  end

  # Of the newest orders' carts the one that most was done with: what it held, and what its shopper's connection asked it.
  defp carts(ledger) do
    asked = Ledger.by_cart(ledger)
    newest = ledger |> Ledger.orders() |> Enum.map(& &1.cart) |> Enum.take(-50)
    cart = Enum.max_by(newest, &length(asked[&1]), fn -> "cart-none" end)

    ask(
      "What did #{cart} hold, from its first state to its last, and what did each step change?",
      fn -> Past.cart(cart) end,
      &Print.Past.steps/1
    )

    ask(
      "What was in #{cart} before, between and after the requests of its shopper?",
      fn -> Past.cart_at(cart, asked |> Map.get(cart, []) |> Moment.at_requests()) end,
      &Print.Past.views/1
    )

    ask(
      "What was asked between its shopper's connection and #{cart}?",
      fn -> Questions.asked_of_cart(cart) end,
      &Print.exchanges/1
    )
  end

  # The newest order of more than one product, if there is such.
  defp checkout(ledger) do
    orders = for %{entry: %{status: 201}} = taking <- Shelves.takings(ledger), do: taking
    several = Enum.filter(orders, &(map_size(&1.lines) > 1))

    with %{entry: entry, lines: lines} <- List.last(several) || List.last(orders) do
      ask(
        "What did the checkout of #{entry.cart}, #{inspect(lines)}, change, in whichever process?",
        fn -> Past.checkout(entry) end,
        &Print.Past.effects(&1, entry.asked_at)
      )
    end
  end

  defp stock(ledger) do
    takings = Shelves.takings(ledger)

    ask(
      "When did the stock of each product last change, and by which request?",
      fn -> Catalogue.products() |> Map.keys() |> Enum.sort() |> Past.last_taken() end,
      &Print.Past.takings(&1, fn taking ->
        Shelves.at(takings, taking.sku, taking.change.timestamp, taking.cart)
      end)
    )
  end

  defp story(nil), do: nil
  defp story(crash), do: Questions.before_crash(crash)

  defp tell_held(ledger) do
    held = length(Audit.held(ledger).entries)
    all = length(ledger.entries)

    if held < all,
      do:
        IO.puts(
          "\n  The last #{Unit.count(held)} requests of #{Unit.count(all)}: older events had to give way."
        )
  end
end
