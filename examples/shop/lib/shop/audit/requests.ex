defmodule Shop.Audit.Requests do
  @moduledoc "Each request is on the tape once, with its route and its status, and it has ended."

  alias Shop.Tape
  alias Shop.Audit.Check
  alias Shop.Load.Ledger

  @doc false
  def checks(ledger) do
    window = Ledger.window(ledger)
    begun = Tape.calls(Shop.Web.Handler, :do, window)
    ended = Tape.ends(Shop.Web.Handler, :do, window)
    routes = Tape.ends(Shop.Web.Routes, :match, window)

    Check.each("requests", Ledger.routes(ledger), Enum.frequencies_by(routes, &elem(&1.result, 0))) ++
      Check.each("answers", Ledger.statuses(ledger), Enum.frequencies_by(ended, &status/1)) ++
      [Check.new("requests ended", length(ledger.entries), paired(begun, ended))]
  end

  defp status(%{result: {:proceed, [response: {:response, head, _body}]}}), do: head[:code]

  # The event that ended a call names the one that began it, comes later, and from the same process.
  defp paired(begun, ended) do
    by_id = Map.new(begun, &{&1.id, &1})

    Enum.count(ended, fn stop ->
      start = by_id[stop.call_id]
      start && start.pid == stop.pid && start.id < stop.id && start.timestamp <= stop.timestamp
    end)
  end
end
