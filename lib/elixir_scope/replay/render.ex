defmodule ElixirScope.Replay.Render do
  @moduledoc false

  # Lines of text of bounded width. What was cut or masked when it was recorded is always told, also where the line has no room for its
  # mark. ASCII only, since a terminal need not know more; colours as `IO.ANSI` has them, or none.

  alias ElixirScope.{Redacted, Truncated}
  alias ElixirScope.Replay.Text

  @type style :: %{width: pos_integer, limit: pos_integer, colors: boolean}

  # Parts of a value that are searched for marks: a line must not take longer than its reader.
  @most_parts 20_000

  # For a value of which a little is seen, and what is hidden in it is told.
  @least_room 28

  @doc "A line cut to the width, in a colour or none."
  @spec line(String.t(), atom | nil, style) :: iolist
  def line(text, color, style), do: [paint(cut(text, style.width), color, style), "\n"]

  @doc "A text in a colour."
  @spec paint(String.t(), atom | nil, style) :: iodata
  def paint(text, nil, _style), do: text
  def paint(text, color, style), do: IO.ANSI.format([color, text], style.colors)

  @doc "A value on one line of at most so many characters, with what is hidden in it."
  @spec value(term, pos_integer) :: String.t()
  def value(%Text{text: text} = large, width) do
    note = " (#{size(large)})"
    cut(text, max(width - String.length(note), 4)) <> note
  end

  def value(term, width) do
    text = inspect(term, limit: 50, printable_limit: width, width: :infinity)
    note = hidden(term, text, width)
    cut(text, max(width - String.length(note), 4)) <> note
  end

  # Only where the text that is left does not show it.
  defp hidden(term, text, width) do
    {masked, truncated} = marks(term)
    shown = String.slice(text, 0, width)

    if masked > count(shown, "#ElixirScope.Redacted<>") or
         truncated > count(shown, "#ElixirScope.Truncated<"),
       do: " (#{told(masked, truncated)})",
       else: ""
  end

  defp count(text, part), do: length(:binary.matches(text, part))

  @doc "A value on lines of its own, and what is hidden in it."
  @spec lines(term, style) :: iolist
  def lines(%Text{text: text} = large, style) do
    [
      for(line <- folded(text, style.width), do: line(line, nil, style)),
      line("(#{size(large)})", :yellow, style)
    ]
  end

  def lines(term, style) do
    text =
      inspect(term, pretty: true, width: style.width, limit: style.limit, printable_limit: style.width * 4)

    {masked, truncated} = marks(term)

    [
      for(line <- String.split(text, "\n"), do: line(line, nil, style)),
      if(masked + truncated > 0, do: line("(#{told(masked, truncated)})", :yellow, style), else: [])
    ]
  end

  # How large all of it is, and what is hidden in it.
  defp size(%Text{bytes: bytes, masked: 0, cut: 0}), do: "#{bytes} bytes"
  defp size(%Text{bytes: bytes, masked: masked, cut: cut}), do: "#{bytes} bytes, #{told(masked, cut)}"

  # Lines that end behind commas, where there are some.
  defp folded(text, width) do
    text
    |> String.split(", ")
    |> Enum.chunk_while(
      "",
      fn part, line ->
        longer = if line == "", do: part, else: line <> ", " <> part

        if line != "" and String.length(longer) >= width,
          do: {:cont, line <> ",", " " <> part},
          else: {:cont, longer}
      end,
      &{:cont, &1, ""}
    )
  end

  @doc "A change at a path: what was there, and what is there."
  @spec change(map, style) :: iolist
  def change(%{op: op, path: path} = change, style) do
    {sign, color} = Map.fetch!(%{added: {"+", :green}, removed: {"-", :red}, changed: {"~", :yellow}}, op)
    place = cut(path(path), div(style.width, 4))
    room = style.width - String.length(place) - 5
    [paint("  #{sign} #{place} ", color, style), values(op, change, room, style), "\n"]
  end

  defp values(:added, %{new: new}, room, style), do: paint(value(new, room), :green, style)
  defp values(:removed, %{old: old}, room, style), do: paint(value(old, room), :red, style)

  defp values(:changed, %{old: %Redacted{}, new: %Redacted{}}, _room, style),
    do: paint("(masked)", :yellow, style)

  # On two lines where one has no room for what has to be told of both.
  defp values(:changed, %{old: old, new: new}, room, style) do
    half = div(room - 4, 2)
    {old_text, new_text} = {value(old, room), value(new, room)}

    cond do
      String.length(old_text <> new_text) <= room - 4 -> beside(old_text, new_text, style)
      half >= @least_room -> beside(value(old, half), value(new, half), style)
      true -> [paint(old_text, :red, style), "\n      -> ", paint(value(new, style.width - 9), :green, style)]
    end
  end

  defp beside(old, new, style), do: [paint(old, :red, style), " -> ", paint(new, :green, style)]

  @doc """
  A path as one would write it.

      path([:items, 0, "qty"])   #=> .items[0]["qty"]
  """
  @spec path([term]) :: String.t()
  def path([]), do: "(all)"
  def path(steps), do: Enum.map_join(steps, &step/1)

  defp step(key) when is_atom(key) and key not in [nil, true, false],
    do: ("." <> Macro.inspect_atom(:key, key)) |> trim()

  defp step(key), do: "[#{inspect(key, limit: 5, printable_limit: 30)}]"

  # Of a key that wants quotes the colon is left: `."a b"`.
  defp trim(text), do: String.trim_trailing(text, ":")

  @doc "A time of day in UTC, from nanoseconds since 1970."
  @spec time(integer) :: String.t()
  def time(wall_time) do
    wall_time |> div(1_000) |> DateTime.from_unix!(:microsecond) |> DateTime.to_time() |> Time.to_string()
  end

  # -- Marks ------------------------------------------------------------------------------------------------------------

  defp told(masked, 0), do: "#{few(masked)} masked"
  defp told(0, truncated), do: "#{few(truncated)} cut"
  defp told(masked, truncated), do: "#{few(masked)} masked, #{few(truncated)} cut"

  defp few(count) when count > 99, do: "99+"
  defp few(count), do: Integer.to_string(count)

  @doc "How many marks of masked and of cut values there are in a value."
  @spec marks(term) :: {masked :: non_neg_integer, cut :: non_neg_integer}
  def marks(term), do: search([term], 0, 0, @most_parts)

  defp search([], masked, truncated, _left), do: {masked, truncated}
  defp search(_rest, masked, truncated, 0), do: {masked, truncated}
  defp search([%Redacted{} | rest], masked, cut, left), do: search(rest, masked + 1, cut, left - 1)

  defp search([%Text{} = text | rest], masked, cut, left),
    do: search(rest, masked + text.masked, cut + text.cut, left - 1)

  defp search([%Truncated{} | rest], masked, cut, left), do: search(rest, masked, cut + 1, left - 1)
  defp search([part | rest], masked, cut, left), do: search(parts(part, rest), masked, cut, left - 1)

  defp parts([head | tail], rest), do: [head, tail | rest]
  defp parts(tuple, rest) when is_tuple(tuple), do: Tuple.to_list(tuple) ++ rest

  defp parts(map, rest) when is_map(map),
    do: Enum.reduce(:maps.to_list(map), rest, fn {k, v}, all -> [k, v | all] end)

  defp parts(_leaf, rest), do: rest

  # -- Width ------------------------------------------------------------------------------------------------------------

  @doc "A text of at most so many characters; dots tell that there was more."
  @spec cut(String.t(), pos_integer) :: String.t()
  def cut(text, width) do
    if String.length(text) <= width, do: text, else: String.slice(text, 0, max(width - 3, 1)) <> "..."
  end
end
