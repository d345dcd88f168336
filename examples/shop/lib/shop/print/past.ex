defmodule Shop.Print.Past do
  @moduledoc "Answers of `Shop.Questions.Past`, printed for people."

  alias ElixirScope.Replay
  alias Shop.Load.Entry
  alias Shop.Print.{Table, Unit}

  @widest 300

  @doc "The states that a process came to, each with what it changed."
  @spec steps([struct()], zero :: integer() | nil) :: :ok
  def steps(changes, zero \\ nil)
  def steps([], _zero), do: nothing()

  def steps([first | _more] = changes, zero) do
    zero = zero || first.timestamp

    rows =
      for change <- changes do
        [
          Unit.elapsed(change.timestamp - zero),
          led(change),
          inspect(change.new_state),
          diff(change.state_diff)
        ]
      end

    Table.print(rows, head: ["", "at", "became", "by"], align: [:right, :left, :left, :left])
  end

  defp led(%{trigger_message: nil, callback: callback}), do: to_string(callback)
  defp led(%{trigger_message: message}), do: inspect(message)

  @doc "What a cart held at the moments that its shopper knows, and what its shopper knows."
  @spec views([Shop.Questions.Past.view()]) :: :ok
  def views([]), do: nothing()

  def views([first | _more] = views) do
    rows =
      for %{moment: moment} = view <- views do
        [
          Unit.elapsed(moment.at - first.moment.at),
          after_what(moment.entry),
          told(view.state),
          diff(view.diff),
          known(moment.lines)
        ]
      end

    Table.print(rows,
      head: ["", "", "held", "since the line above", "its shopper knows"],
      align: [:right, :left, :left, :left, :left]
    )
  end

  defp after_what(nil), do: "before all"
  defp after_what(%Entry{step: step}), do: "after #{step |> Entry.route() |> to_string()}"

  defp told(%{lines: lines}), do: inspect(lines)
  defp told(:no_state_recorded), do: "(none)"
  defp told(:evicted), do: "(gave way)"
  defp told({:exited, _at, _reason}), do: "(ended)"

  defp known(nil), do: "(none)"
  defp known(lines), do: inspect(lines)

  @doc "What a request changed, and how long after it was asked."
  @spec effects([Shop.Questions.Past.effect()], asked_at :: integer()) :: :ok
  def effects([], _asked_at), do: nothing()

  def effects(effects, asked_at) do
    rows =
      for effect <- effects,
          do: [Unit.elapsed(effect.at - asked_at), effect.what, diff(effect.diff)]

    Table.print(rows, align: [:right, :left, :left])
  end

  @doc "The last changes of the stock, each with its request, and with what the ledger says of it."
  @spec takings([Shop.Questions.Past.taking()], (Shop.Questions.Past.taking() -> [Entry.t()])) :: :ok
  def takings(takings, in_ledger \\ fn _taking -> [] end)
  def takings([], _in_ledger), do: nothing()

  def takings(takings, in_ledger) do
    Table.print(Enum.map(takings, &taking(&1, in_ledger)),
      head: ["", "units", "at", "for", "by", "the ledger says"],
      align: [:left, :right, :left, :left, :left, :left]
    )
  end

  defp taking(%{change: nil, sku: sku}, _in_ledger), do: [sku, "", "", "", "(gave way)", ""]

  defp taking(%{change: change, units: {old, new}} = taking, in_ledger) do
    [
      taking.sku,
      "#{old} -> #{new}",
      Unit.clock(change.wall_time),
      led(change),
      request(taking.request),
      taking |> in_ledger.() |> Enum.map_join(", ", &ledger/1)
    ]
  end

  defp request(nil), do: "(gave way)"
  defp request(request), do: "#{request.method} /#{Enum.join(request.path, "/")}"

  defp ledger(%Entry{answer: %{"order" => order}} = entry), do: "order #{order} of #{entry.cart}"
  defp ledger(%Entry{answer: answer} = entry), do: "#{answer["error"]}, #{entry.cart}"

  @doc "The state before a crash."
  @spec crashed(map() | nil) :: :ok
  def crashed(nil), do: IO.puts("  (it did not crash)")

  def crashed(%{crash: crash} = story) do
    state =
      case story.state do
        {:ok, state, quality} -> "#{inspect(state)}, #{quality}"
        {:error, reason} -> "(#{inspect(reason)})"
      end

    IO.puts("  #{Unit.clock(crash.wall_time)}  #{inspect(crash.pid)} had #{state}")
    IO.puts("  and crashed at #{inspect(crash.message)}, which found it with #{inspect(crash.state)}\n")
    steps(story.history, crash.at)
  end

  # As iex shows it, in one line.
  defp diff(nil), do: ""
  defp diff([]), do: ""

  defp diff(changes) do
    changes
    |> Replay.format_diff(colors: false, width: @widest)
    |> IO.iodata_to_binary()
    |> String.split("\n", trim: true)
    |> Enum.map_join(", ", &String.trim/1)
  end

  defp nothing, do: IO.puts("  (nothing on the tape)")
end
