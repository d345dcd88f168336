defmodule ElixirScope.Test.Perfetto do
  @moduledoc """
  Reads a Perfetto trace as its viewer does: slices by pairs of begin and end on a track, names by their numbers. The numbers of the fields are
  those of the public definitions, against which `native/perfetto_check` proves what is written.
  """

  @doc "What is in a file: `%{tracks: %{number => %{name:, parent:}}, slices: [map], points: [map]}`, slices by the time of their begin."
  def read(path) do
    bytes = File.read!(path)
    bytes = if String.ends_with?(path, ".gz"), do: :zlib.gunzip(bytes), else: bytes
    packets = for {1, packet} <- fields(bytes), do: fields(packet)
    names = interned(packets, 2)
    values = interned(packets, 3)

    tracks =
      for packet <- packets, {60, track} <- packet, into: %{} do
        track = fields(track)
        process = if process = field(track, 3), do: fields(process), else: []
        {field(track, 1), %{name: field(track, 2) || field(process, 6), parent: field(track, 5)}}
      end

    events =
      for packet <- packets, {11, event} <- packet do
        event = fields(event)

        %{
          time: field(packet, 8),
          sort: Enum.at([nil, :begin, :end, :point, :counter], field(event, 9)),
          track: field(event, 11),
          name: names[field(event, 10)] || field(event, 23),
          flows: for({field, flow} <- event, field in [47, 48], do: flow),
          values: for({4, value} <- event, into: %{}, do: named(fields(value), values))
        }
      end

    {points, events} = Enum.split_with(events, &(&1.sort == :counter))
    %{tracks: tracks, slices: slices(events), points: points}
  end

  defp interned(packets, field) do
    for packet <- packets, {12, data} <- packet, {^field, entry} <- fields(data), into: %{} do
      entry = fields(entry)
      {field(entry, 1), field(entry, 2)}
    end
  end

  defp named(value, names) do
    {_field, what} = Enum.find(value, fn {field, _what} -> field in [2, 4, 5, 6] end)
    {String.to_existing_atom(names[field(value, 1)]), what}
  end

  defp slices(events) do
    {slices, open} =
      events
      |> Enum.sort_by(& &1.time)
      |> Enum.reduce({[], %{}}, fn event, {done, open} ->
        case event.sort do
          :begin ->
            {done, Map.update(open, event.track, [event], &[event | &1])}

          :end ->
            [begin | rest] = Map.fetch!(open, event.track)
            {[ended(begin, event) | done], Map.put(open, event.track, rest)}

          _other ->
            {[Map.put(event, :ended, event.time) | done], open}
        end
      end)

    unended = for {_track, events} <- open, event <- events, do: Map.put(event, :ended, nil)
    Enum.sort_by(slices ++ unended, & &1.time)
  end

  defp ended(begin, event) do
    begin |> Map.put(:ended, event.time) |> Map.update!(:values, &Map.merge(&1, event.values))
  end

  defp field(fields, number) do
    with {^number, value} <- List.keyfind(fields, number, 0), do: value
  end

  defp fields(<<>>), do: []

  defp fields(bytes) do
    {tag, rest} = varint(bytes, 0, 0)
    {value, rest} = value(rem(tag, 8), rest)
    [{div(tag, 8), value} | fields(rest)]
  end

  defp value(0, bytes), do: varint(bytes, 0, 0)
  defp value(1, <<value::little-64, rest::binary>>), do: {value, rest}

  defp value(2, bytes) do
    {size, rest} = varint(bytes, 0, 0)
    :erlang.split_binary(rest, size)
  end

  defp varint(<<0::1, group::7, rest::binary>>, shift, value), do: {value + Bitwise.bsl(group, shift), rest}

  defp varint(<<1::1, group::7, rest::binary>>, shift, value),
    do: varint(rest, shift + 7, value + Bitwise.bsl(group, shift))
end
