defmodule Shop.Demo do
  @moduledoc "Plays shoppers, asks the tape what happened, and holds its answers against what the shoppers know."

  alias Shop.{Audit, Load, Print, Questions}
  alias Shop.Load.Ledger
  alias Shop.Print.{Progress, Unit}

  @doc "Runs the demo; true if tape and shoppers agree. Options as of `Shop.Load.run/1`."
  @spec run(keyword()) :: boolean()
  def run(opts \\ []) do
    requests = Keyword.get(opts, :requests, 10_000)
    IO.puts("\n#{Unit.count(requests)} requests to #{Shop.Web.url()}\n")
    ledger = play(requests, opts)

    ask(
      "How much was recorded?",
      fn -> Questions.throughput(ledger.since, ledger.until) end,
      &Print.throughput/1
    )

    ask(
      "Which checkouts were the slowest, and why?",
      fn -> Questions.slowest_checkouts(5, Ledger.window(ledger)) end,
      &Print.checkouts/1
    )

    ask(
      "What did the process of the first cart with an order do?",
      fn -> ledger |> first_buyer() |> Questions.cart() end,
      &Print.events/1
    )

    ask(
      "What happened in the second before the dispatcher's last crash?",
      fn -> ledger |> Ledger.window() |> Questions.crashes() |> List.last() |> story() end,
      &Print.crash/1
    )

    ask("What does the recorder hold?", &Questions.memory/0, &Print.memory/1)
    checks = ask("Does the tape agree with the shoppers?", fn -> Audit.run(ledger) end, &Print.checks/1)
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

  defp first_buyer(ledger) do
    case Ledger.orders(ledger) do
      [order | _more] -> order.cart
      [] -> "none"
    end
  end

  defp story(nil), do: nil
  defp story(crash), do: Questions.before_crash(crash)
end
