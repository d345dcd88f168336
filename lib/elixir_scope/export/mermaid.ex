defmodule ElixirScope.Export.Mermaid do
  @moduledoc false

  # A sequence diagram of messages. Lines are made first, one for each message, as terms; then repeats are folded, then what is too much
  # is left out, and only then do they become text: no text is ever looked into again.

  alias ElixirScope.{Error, Events, Muted, Options}
  alias ElixirScope.Export.Mermaid.{Fold, Text}

  @schema [
    participants: [
      type: {:at_least, 2},
      default: 12,
      doc: "How many are drawn for themselves; the rest, those with the fewest messages, are drawn as one."
    ],
    limit: [type: :pos_integer, default: 200, doc: "How many lines are drawn, repeats counted as one."],
    messages: [
      type: {:one_of, [:full, :tag, :none]},
      default: :full,
      doc:
        "What is shown of a message: `:tag` its first element, so that messages of one sort are alike and can be folded."
    ],
    width: [type: {:at_least, 10}, default: 80, doc: "How many characters of a message are shown."],
    names: [
      type: {:custom, "a map from pids to names or texts", &__MODULE__.cast_names/1},
      default: %{},
      doc:
        "What processes are called, by their pids, as atoms or texts; beside the names that they are registered with."
    ]
  ]

  @type line :: {from :: term, to :: term, type :: atom, text :: String.t(), arrow :: String.t()}

  @doc "The options in Markdown."
  @spec docs() :: String.t()
  def docs, do: Options.docs(@schema)

  @spec draw(term, term) :: String.t() | {:error, Error.t()}
  def draw(flow, opts) do
    Muted.run(fn ->
      with {:ok, opts} <- Options.validate(opts, @schema),
           :ok <- check(flow) do
        flow |> Enum.map(&line(&1, opts)) |> diagram(names(flow, opts.names), opts)
      end
    end)
  end

  @doc false
  @spec cast_names(term) :: {:ok, map} | :error
  def cast_names(%{} = names) do
    if Enum.all?(names, fn {pid, name} -> is_pid(pid) and (is_atom(name) or text?(name)) end),
      do: {:ok, names},
      else: :error
  end

  def cast_names(_other), do: :error

  defp text?(name), do: is_binary(name) and String.valid?(name)

  defp check(flow) do
    if Options.proper_list?(flow) and Enum.all?(flow, &is_struct(&1, Events.MessageSend)),
      do: :ok,
      else: Error.invalid(:flow, flow, "a list of ElixirScope.Events.MessageSend")
  end

  # -- One message ------------------------------------------------------------------------------------------------------

  defp line(%Events.MessageSend{} = event, opts) do
    type = event.send_type || :send
    text = String.trim_trailing("#{type} #{message(event.message, opts)}")
    {event.sender_pid || :unknown, receiver(event), type, text, arrow(event)}
  end

  # A name that nobody had is a place of its own.
  defp receiver(%{receiver_pid: nil, receiver_name: nil}), do: :unknown
  defp receiver(%{receiver_pid: nil, receiver_name: name}), do: {:name, name}
  defp receiver(%{receiver_pid: pid}), do: pid

  defp message(_message, %{messages: :none}), do: ""
  defp message(message, %{messages: :tag} = opts), do: message |> tag() |> shown(opts)
  defp message(message, opts), do: shown(message, opts)

  defp tag(message) when is_tuple(message) and tuple_size(message) > 0, do: tag(elem(message, 0))
  defp tag(%module{}), do: module
  defp tag(message) when is_atom(message), do: message
  defp tag(_message), do: :...

  defp shown(term, %{width: width}) do
    text = inspect(term, limit: 20, printable_limit: width, width: :infinity)
    if String.length(text) > width, do: String.slice(text, 0, max(width - 3, 1)) <> "...", else: text
  end

  # Solid where an answer is waited for, dotted for answers and what the system says; open where nobody waits; crossed out where
  # nobody was there.
  defp arrow(%{to_dead: true, send_type: :reply}), do: "--x"
  defp arrow(%{to_dead: true}), do: "-x"
  defp arrow(%{send_type: :call}), do: "->>"
  defp arrow(%{send_type: :reply}), do: "-->>"
  defp arrow(%{send_type: type}) when type in [:down, :exit, :timer], do: "--)"
  defp arrow(_event), do: "-)"

  # -- All of them ------------------------------------------------------------------------------------------------------

  defp diagram(lines, names, opts) do
    {places, others} = places(lines, opts.participants)
    of = &Map.get(places, &1, "others")

    {drawn, left} =
      lines
      |> Enum.map(fn {from, to, _type, text, arrow} -> {of.(from), of.(to), arrow, text} end)
      |> Fold.fold()
      |> Fold.take(opts.limit)

    IO.iodata_to_binary([
      "sequenceDiagram\n",
      for({who, id} <- Enum.sort_by(places, &order/1), do: participant(id, label(who, names))),
      if(others > 0, do: participant("others", "#{others} others"), else: []),
      Enum.map(drawn, &text(&1, "    ")),
      left(left, places)
    ])
  end

  # Those with the most messages, in the order in which they appear.
  defp places(lines, most) do
    all = Enum.flat_map(lines, fn {from, to, _type, _text, _arrow} -> [from, to] end)
    in_order = Enum.uniq(all)

    if length(in_order) <= most do
      {number(in_order), 0}
    else
      counts = Enum.frequencies(all)
      kept = in_order |> Enum.sort_by(&(-counts[&1])) |> Enum.take(most - 1) |> MapSet.new()
      {in_order |> Enum.filter(&(&1 in kept)) |> number(), length(in_order) - most + 1}
    end
  end

  defp number(places), do: places |> Enum.with_index(1) |> Map.new(fn {who, n} -> {who, "p#{n}"} end)

  defp order({_who, "p" <> number}), do: String.to_integer(number)

  defp participant(id, label), do: "    participant #{id} as #{Text.escape(label)}\n"

  defp text({:times, 1, line}, indent), do: text(line, indent)

  defp text({:times, n, {from, to, arrow, text}}, indent),
    do: text({from, to, arrow, "#{text} (#{n} times)"}, indent)

  defp text({:times, n, lines}, indent) when is_list(lines) do
    ["#{indent}loop #{n} times\n", Enum.map(lines, &text(&1, indent <> "    ")), "#{indent}end\n"]
  end

  defp text({from, to, arrow, text}, indent), do: "#{indent}#{from}#{arrow}#{to}: #{Text.escape(text)}\n"

  defp left(0, _places), do: []
  defp left(n, _places), do: "    Note over p1: #{n} more messages are not shown\n"

  # -- Names ------------------------------------------------------------------------------------------------------------

  defp label(:unknown, _names), do: "unknown"
  defp label({:name, name}, _names), do: inspect(name)
  defp label(pid, names) when is_map_key(names, pid), do: "#{named(names[pid])} #{number_of(pid)}"
  defp label(pid, _names), do: number_of(pid)

  defp named(name) when is_binary(name), do: name
  defp named(name), do: inspect(name)

  defp number_of(pid),
    do: pid |> :erlang.pid_to_list() |> List.to_string() |> String.trim("<") |> String.trim(">")

  # Given, or as messages were addressed; then what processes that live now are registered with.
  defp names(flow, given) do
    addressed =
      for %{receiver_pid: pid, receiver_name: name} <- flow,
          pid,
          is_atom(name),
          name,
          into: %{},
          do: {pid, name}

    registered = for name <- Process.registered(), pid = Process.whereis(name), into: %{}, do: {pid, name}
    registered |> Map.merge(addressed) |> Map.merge(given)
  end
end
