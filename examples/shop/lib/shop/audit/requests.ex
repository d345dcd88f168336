defmodule Shop.Audit.Requests do
  @moduledoc "Each request is on the tape once, with its route and its status, and its span has ended."

  alias Shop.Tape
  alias Shop.Audit.Check
  alias Shop.Load.Ledger

  @doc false
  def checks(ledger) do
    window = Ledger.window(ledger)
    begun = Tape.begun_spans("http.request", window)
    ended = Tape.ended_spans("http.request", window)
    responses = Tape.events(:http_response, window)

    Check.each("requests", Ledger.routes(ledger), Enum.frequencies_by(begun, & &1.metadata.route)) ++
      Check.each("answers", Ledger.statuses(ledger), Enum.frequencies_by(responses, & &1.data.status)) ++
      [Check.new("request spans ended", length(ledger.entries), paired(begun, ended))]
  end

  # The event that ended a span names the one that began it, comes later, and from the same process.
  defp paired(begun, ended) do
    by_id = Map.new(begun, &{&1.id, &1})

    Enum.count(ended, fn stop ->
      start = by_id[stop.call_id]
      start && start.pid == stop.pid && start.id < stop.id && start.timestamp <= stop.timestamp
    end)
  end
end
