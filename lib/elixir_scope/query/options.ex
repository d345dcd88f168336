defmodule ElixirScope.Query.Options do
  @moduledoc false

  # The options of a query, declared once, and what the native side is given for them (see `ElixirScope.Native`).

  alias ElixirScope.{Error, Events, Options}

  # Each step looks through the rest of the value.
  @longest_path 64

  @doc "How many steps a path has at most."
  @spec longest_path() :: pos_integer
  def longest_path, do: @longest_path

  @operators [:==, :!=, :<, :>, :in, :contains, :exists]

  # Times and ids travel in 64 bits; beyond them there are no events.
  @min_time -0x8000_0000_0000_0000
  @max_time 0x7FFF_FFFF_FFFF_FFFF

  @schema [
    pid: [
      type: {:custom, "a pid, a list of pids, or :all", &__MODULE__.cast_pid/1},
      default: :all,
      doc: "The process that recorded the event."
    ],
    event_type: [
      type:
        {:custom, "an event type, a list of event types (see ElixirScope.Events.types/0), or :all",
         &__MODULE__.cast_event_type/1},
      default: :all,
      doc: "What happened."
    ],
    module: [
      type: :atom,
      doc:
        "The module of the function that the event is about: of a mark of `ElixirScope.Trace`, the one that it stands in."
    ],
    function: [type: :atom, doc: "The name of that function."],
    arity: [type: {:integer, 0, 255}, doc: "The arity of that function."],
    since: [
      type: {:custom, "integer nanoseconds or a DateTime", &__MODULE__.cast_time/1},
      doc: "The earliest time, inclusive: integer nanoseconds, as of `ElixirScope.now/0`, or a `DateTime`."
    ],
    until: [
      type: {:custom, "integer nanoseconds or a DateTime", &__MODULE__.cast_time/1},
      doc: "The latest time, inclusive."
    ],
    limit: [
      type: {:or, :infinity, :pos_integer},
      default: 1_000,
      doc: "How many events at most: the newest that match, or with `:after` the oldest after it."
    ],
    order: [
      type: {:one_of, [:asc, :desc]},
      default: :asc,
      doc: "The order of the events in the answer, whichever they are."
    ],
    before: [type: :non_neg_integer, doc: "The id of an event: only older ones, to page backwards."],
    after: [
      type: :non_neg_integer,
      doc: "The id of an event: only newer ones, to page forwards; 0 begins with the oldest."
    ],
    correlation_id: [
      type: {:or, :ambiguous, :pos_integer},
      doc:
        "The causal root: all that one outermost call or span led to, in all processes; `:ambiguous` for what could go back to " <>
          "several."
    ],
    call_id: [
      type: :pos_integer,
      doc: "One call or span: its begin, its end, and what happened directly inside."
    ],
    where: [
      type:
        {:custom,
         "a list of {path, op, value}, the path a list that begins with the name of a field " <>
           "(see ElixirScope.Events.fields/0), op one of " <> Enum.map_join(@operators, ", ", &inspect/1),
         &__MODULE__.cast_where/1},
      default: [],
      doc:
        "Conditions on fields and captured terms, all of which must hold: `{[:metadata, :cart], :==, 7}`. A step of a path is a " <>
          "key of a map or keyword list, or an index of a list or tuple. `:in` takes a list, `:exists` a boolean; `:contains` asks " <>
          "for a part of a binary, an element of a list, or a key of a map. Where the path leads nowhere no condition holds, `:!=` " <>
          "neither, but `{path, :exists, false}`."
    ],
    payload: [
      type: :boolean,
      default: true,
      doc: "`false` leaves captured terms out, for a quick listing."
    ]
  ]

  @doc false
  @spec schema() :: Options.schema()
  def schema, do: @schema

  @doc "The options in Markdown, without some of them."
  @spec docs([atom]) :: String.t()
  def docs(without \\ []), do: @schema |> Keyword.drop(without) |> Options.docs()

  @doc "The query map of the native side, or the first option that is wrong. `offset` takes wall-clock time to the tape's clock."
  @spec validate(term, offset :: integer, without :: [atom]) :: {:ok, map} | {:error, term}
  def validate(opts, offset, without \\ []) do
    with {:ok, query} <- Options.validate(opts, Keyword.drop(@schema, without)),
         {:ok, query} <- on_tape(query, offset) do
      {:ok, query |> drop_open() |> clamp()}
    end
  end

  # -- Times ------------------------------------------------------------------------------------------------------------

  defp on_tape(query, offset) do
    query =
      Map.new(query, fn
        {key, time} when key in [:since, :until] -> {key, unclamped(time, offset)}
        other -> other
      end)

    case query do
      %{since: since, until: until} when since > until ->
        Error.invalid(:until, until, "a time not before :since (#{since})")

      _ordered ->
        {:ok, query}
    end
  end

  @doc "A time that `cast_time/1` took, on the tape's clock, within its 64 bits. `offset` takes wall-clock time there."
  @spec tape_time(time, offset :: integer) :: integer
  def tape_time(time, offset), do: time |> unclamped(offset) |> max(@min_time) |> min(@max_time)

  defp unclamped({:wall, time}, offset), do: time - offset
  defp unclamped(time, _offset), do: time

  defp clamp(query) do
    Map.new(query, fn
      {key, time} when key in [:since, :until] ->
        {key, tape_time(time, 0)}

      {key, id} when key in [:before, :after, :correlation_id, :call_id] and is_integer(id) ->
        {key, min(id, @max_time)}

      other ->
        other
    end)
  end

  # -- Casts ------------------------------------------------------------------------------------------------------------

  # What is open is not in the native query.
  defp drop_open(query) do
    query
    |> Enum.reject(fn {key, value} ->
      (key in [:pid, :event_type] and value == :all) or (value == [] && key == :where)
    end)
    |> Map.new()
  end

  @doc false
  @spec cast_pid(term) :: {:ok, :all | [pid]} | :error | {:error, {:remote, node}}
  def cast_pid(:all), do: {:ok, :all}
  def cast_pid(pid) when is_pid(pid), do: cast_pid([pid])

  def cast_pid(pids) do
    if Options.proper_list?(pids) and Enum.all?(pids, &is_pid/1) do
      case Enum.find(pids, &(node(&1) != node())) do
        nil -> {:ok, Enum.uniq(pids)}
        remote -> {:error, {:remote, node(remote)}}
      end
    else
      :error
    end
  end

  @doc false
  @spec cast_event_type(term) :: {:ok, :all | [atom]} | :error
  def cast_event_type(:all), do: {:ok, :all}
  def cast_event_type(type) when is_atom(type), do: cast_event_type([type])

  def cast_event_type(types) do
    known = Events.types()

    if Options.proper_list?(types) and Enum.all?(types, &(&1 in known)),
      do: {:ok, Enum.uniq(types)},
      else: :error
  end

  @typedoc "Nanoseconds on the tape's clock, or since 1970."
  @type time :: integer | {:wall, integer}

  @doc false
  @spec cast_time(term) :: {:ok, time} | :error
  def cast_time(time) when is_integer(time), do: {:ok, time}

  def cast_time(%DateTime{calendar: calendar} = time) do
    # `to_unix` takes the 25th hour for the next day's first
    if calendar.valid_date?(time.year, time.month, time.day) and
         calendar.valid_time?(time.hour, time.minute, time.second, time.microsecond),
       do: {:ok, {:wall, DateTime.to_unix(time, :nanosecond)}},
       else: :error
  rescue
    # a struct that somebody made, with a month 13 or without an offset, is no `DateTime`
    _exception -> :error
  end

  def cast_time(_other), do: :error

  @doc false
  @spec cast_where(term) :: {:ok, list} | :error | {:error, Error.t()}
  def cast_where(conditions) do
    if Options.proper_list?(conditions), do: conditions(conditions, conditions), else: :error
  end

  defp conditions([], all), do: {:ok, all}

  defp conditions([condition | rest], all) do
    case condition(condition) do
      :ok -> conditions(rest, all)
      expected -> Error.invalid(:where, condition, expected)
    end
  end

  defp condition({path, op, value}) do
    cond do
      not (is_list(path) and path != [] and Options.proper_list?(path)) ->
        "a condition whose path is a list that begins with the name of a field"

      hd(path) not in Events.fields() ->
        "a condition whose path begins with the name of a field (see ElixirScope.Events.fields/0)"

      length(path) > @longest_path ->
        "a condition whose path has at most #{@longest_path} parts"

      op not in @operators ->
        "a condition whose op is one of " <> Enum.map_join(@operators, ", ", &inspect/1)

      op == :in and not Options.proper_list?(value) ->
        "a condition whose op :in has a list as its value"

      op == :exists and not is_boolean(value) ->
        "a condition whose op :exists has true or false as its value"

      true ->
        :ok
    end
  end

  defp condition(_other), do: "a condition {path, op, value}"
end
