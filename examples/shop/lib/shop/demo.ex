defmodule Shop.Demo do
  @moduledoc "Plays shoppers, asks the tape what happened, and holds its answers against what the shoppers know."

  alias Shop.{Audit, Load, Print, Questions}
  alias Shop.Load.Ledger
  alias Shop.Print.{Progress, Unit}

  @doc "Runs the demo; true if tape and shoppers agree. Options as of `Shop.Load.run/1`."
  @spec run(keyword()) :: boolean()
  def run(opts \\ []) do
    requests = Keyword.get(opts, :requests, 10_000)
    title("#{Unit.count(requests)} requests to #{Shop.Web.url()}")
    ledger = play(requests, opts)
    since_answers = System.monotonic_time()

    title("How much was recorded?")
    Print.throughput(Questions.throughput(ledger.since, ledger.until))
    title("Which checkouts were the slowest, and why?")
    Print.checkouts(Questions.slowest_checkouts(5, Audit.window(ledger)))
    title("What did the process of the first cart with an order do?")
    ledger |> first_buyer() |> Questions.cart() |> Print.events()
    title("What happened in the second before the dispatcher's last crash?")
    ledger |> last_crash() |> story()
    title("What does the recorder hold?")
    Print.memory(Questions.memory())
    title("Does the tape agree with the shoppers?")
    checks = Audit.run(ledger)
    Print.checks(checks)

    IO.puts("\n  answers and checks took #{Unit.time(nanoseconds_since(since_answers))}")
    Audit.passed?(checks)
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

  defp last_crash(ledger), do: ledger |> Audit.window() |> Questions.crashes() |> List.last()

  defp story(nil), do: IO.puts("  (it did not crash)")
  defp story(crash), do: crash |> Questions.before_crash() |> Print.crash()

  defp title(text), do: IO.puts("\n#{text}\n")

  defp nanoseconds_since(then) do
    System.convert_time_unit(System.monotonic_time() - then, :native, :nanosecond)
  end
end
