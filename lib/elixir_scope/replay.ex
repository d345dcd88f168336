defmodule ElixirScope.Replay do
  @schema [
    width: [
      type: {:integer, 50, 1_000},
      default: 100,
      doc: "Characters of a line."
    ],
    limit: [type: :pos_integer, default: 20, doc: "How many changes, or elements of a value, are shown."],
    colors: [
      type: {:or, :auto, :boolean},
      default: :auto,
      doc: "Whether there are colours; `:auto` as `IO.ANSI.enabled?/0` says."
    ],
    module: [type: :atom, doc: "Of which module, where a process holds several states."]
  ]

  @moduledoc """
  Shows the past of a process in iex: a timeline, what changed, and a walk through it.

      iex> ElixirScope.start()
      iex> {:ok, cart} = Agent.start_link(fn -> %{tea: 1} end)
      iex> {:ok, _ref} = ElixirScope.watch(cart)
      iex> for n <- [2, 3], do: Agent.update(cart, &Map.put(&1, :tea, n))
      iex> Agent.get(cart, & &1)
      %{tea: 3}
      iex> changes = ElixirScope.get_state_history(cart, limit: 1)
      iex> changes |> ElixirScope.Replay.format_timeline(colors: false) |> IO.iodata_to_binary() |> String.split("\\n") |> tl()
      ["  ~ .tea 2 -> 3", ""]

  In iex, where one wants to see rather than to match:

      ElixirScope.Replay.timeline(cart)                    # the newest changes
      {:ok, now} = ElixirScope.Replay.jump(cart, :last)    # the last change, and the state after it
      {:ok, before} = ElixirScope.Replay.back(now)         # the one before, and so on; next/1 goes the other way
      ElixirScope.Replay.diff(before, now)

  What is printed looks like this, in colours where the terminal knows them:

      14:03:07.125301 handle_call {:put, :tea, 3}
        ~ .tea 2 -> 3

  A line is never longer than `:width`. What was masked or cut when it was recorded is told in any case, also where there is no room for
  its mark. A state that cannot be relied on says so.

  A state of more than some kilobytes is not made a term to be printed: its text is written natively from the tape, without the `Inspect` of its
  structs, and `change` of a place holds an `ElixirScope.Replay.Text` in its stead.

  The functions whose names begin with `format_` make the same text and print nothing.

  ## Options

  #{ElixirScope.Options.docs(@schema)}
  """

  alias ElixirScope.Replay.Render
  alias ElixirScope.{Error, Events, Options, Timeline}

  @enforce_keys [:pid, :change]
  defstruct [:pid, :change, :module]

  @typedoc "A place in the past of a process: right after `change`."
  @type t :: %__MODULE__{pid: pid, change: Events.StateChange.t(), module: module | nil}

  @type error :: Timeline.error()

  # -- Printing ---------------------------------------------------------------------------------------------------------

  @doc "Prints the newest changes of a process, oldest first."
  @spec timeline(pid, keyword) :: :ok | error
  def timeline(pid, opts \\ []) do
    with {:ok, style} <- style(opts),
         [_ | _] = changes <-
           Timeline.get_state_history(pid, [limit: style.limit] ++ of_module(style), texts(style)) do
      put(format_timeline(changes, opts))
    else
      [] -> {:error, :no_state_recorded}
      error -> error
    end
  end

  @doc "Prints what changed in the state of a process between two times, or between two places of a walk."
  @spec diff(pid, Timeline.time() | :last, Timeline.time() | :last, keyword) :: :ok | error
  def diff(pid, from, to, opts) do
    with {:ok, style} <- style(opts),
         {:ok, changes} <- Timeline.get_state_diff(pid, from, to, of_module(style), texts(style)) do
      put(format_diff(changes, opts))
    end
  end

  @doc false
  @spec diff(t, t) :: :ok | error
  def diff(%__MODULE__{} = from, %__MODULE__{} = to), do: diff(from, to, [])

  @doc false
  @spec diff(t | pid, t | Timeline.time(), keyword | Timeline.time() | :last) :: :ok | error
  def diff(%__MODULE__{pid: pid, change: one} = from, %__MODULE__{pid: pid, change: other}, opts) do
    [first, last] = Enum.sort([one.timestamp, other.timestamp])
    diff(pid, first, last, of_module(from) ++ opts)
  end

  def diff(pid, from, to), do: diff(pid, from, to, [])

  @doc """
  Goes to the last change of a process at or before a time, prints it and the state that it led to, and answers the place, from which
  `next/2` and `back/2` go on.
  """
  @spec jump(pid, Timeline.time() | :last, keyword) :: {:ok, t} | error
  def jump(pid, time, opts \\ []) do
    with {:ok, style} <- style(opts),
         {:ok, time} <- Timeline.on_tape(time) do
      until = if time == :last, do: [], else: [until: time]
      go(%{pid: pid, module: style[:module]}, until, :no_state_recorded, opts)
    end
  end

  @doc "Goes to the next change, prints it, and answers the place."
  @spec next(t, keyword) :: {:ok, t} | {:error, :end_of_tape} | error
  def next(%__MODULE__{change: %{id: id}} = place, opts \\ []), do: go(place, [after: id], :end_of_tape, opts)

  @doc "Goes to the change before, prints it, and answers the place."
  @spec back(t, keyword) :: {:ok, t} | {:error, :start_of_tape} | error
  def back(%__MODULE__{change: %{id: id}} = place, opts \\ []),
    do: go(place, [before: id], :start_of_tape, opts)

  defp go(%{pid: pid, module: module}, where, otherwise, opts) do
    with {:ok, style} <- style(opts),
         query = [limit: 1] ++ where ++ of_module(%{module: module}),
         [change] <- Timeline.get_state_history(pid, query, texts(style)) do
      put([format_change(change, opts), format_state(change.new_state, opts)])
      {:ok, %__MODULE__{pid: pid, change: change, module: module}}
    else
      [] -> {:error, otherwise}
      error -> error
    end
  end

  defp put(text), do: IO.write(text)

  # -- Text -------------------------------------------------------------------------------------------------------------

  @doc "The text of several changes."
  @spec format_timeline([Events.StateChange.t()], keyword) :: iolist
  def format_timeline(changes, opts \\ []), do: Enum.map(changes, &format_change(&1, opts))

  @doc """
  The text of one change.

      iex> change = %ElixirScope.Events.StateChange{
      ...>   wall_time: 1_700_000_000_000_000_000,
      ...>   callback: :handle_call,
      ...>   trigger_message: {:put, :tea, 2},
      ...>   new_state: %{tea: 2},
      ...>   state_diff: [%{path: [:tea], op: :changed, old: 1, new: 2}]
      ...> }
      iex> change |> ElixirScope.Replay.format_change(colors: false) |> IO.iodata_to_binary()
      "22:13:20.000000 handle_call {:put, :tea, 2}\\n  ~ .tea 1 -> 2\\n"
  """
  @spec format_change(Events.StateChange.t(), keyword) :: iolist
  def format_change(%Events.StateChange{} = change, opts \\ []) do
    style = style!(opts)

    head =
      Enum.join([Render.time(change.wall_time), change.callback || "watched", trigger(change, style)], " ")

    head = head |> String.trim_trailing() |> Render.cut(style.width - String.length(doubt(change)))

    [
      [Render.paint(head, :cyan, style), Render.paint(doubt(change), :red, style), "\n"],
      changes(change, style)
    ]
  end

  defp trigger(%{trigger_message: nil}, _style), do: ""
  defp trigger(%{trigger_message: message}, style), do: Render.value(message, max(style.width - 30, 10))

  defp doubt(%{quality: :approximate}), do: " (approximate)"
  defp doubt(_change), do: ""

  # The first state of all has nothing before it.
  defp changes(%{state_diff: diff}, style) when is_list(diff), do: listed(diff, style)

  defp changes(%{new_state: state}, style),
    do: [Render.paint("  = ", :green, style), Render.value(state, style.width - 4), "\n"]

  @doc """
  The text of what `ElixirScope.get_state_diff/4` answers.

      iex> mask = %ElixirScope.Redacted{}
      iex> diff = [
      ...>   %{path: [:cart, "tea"], op: :added, old: nil, new: 2},
      ...>   %{path: [:token], op: :changed, old: mask, new: mask}
      ...> ]
      iex> diff |> ElixirScope.Replay.format_diff(colors: false) |> IO.iodata_to_binary() |> String.split("\\n")
      ["  + .cart[\\"tea\\"] 2", "  ~ .token (masked)", ""]
  """
  @spec format_diff([Timeline.change()], keyword) :: iolist
  def format_diff(changes, opts \\ [])
  def format_diff([], opts), do: Render.line("  (nothing changed)", nil, style!(opts))
  def format_diff(changes, opts), do: listed(changes, style!(opts))

  defp listed(changes, %{limit: limit} = style) do
    more = length(changes) - limit

    [
      for(change <- Enum.take(changes, limit), do: Render.change(change, style)),
      if(more > 0, do: Render.line("  ... #{more} more", nil, style), else: [])
    ]
  end

  @doc """
  The text of a state.

      iex> state = %{token: %ElixirScope.Redacted{}}
      iex> state |> ElixirScope.Replay.format_state(colors: false) |> IO.iodata_to_binary() |> String.split("\\n")
      ["%{token: #ElixirScope.Redacted<>}", "(1 masked)", ""]
  """
  @spec format_state(term, keyword) :: iolist
  def format_state(state, opts \\ []), do: Render.lines(state, style!(opts))

  # Larger values are not made terms: text of some lines is wanted of them.
  @largest_term 16 * 1_024

  defp texts(style),
    do: %{text: %{above: @largest_term, items: style.limit, bytes: style.width * max(style.limit, 5)}}

  # -- Options ----------------------------------------------------------------------------------------------------------

  defp style(opts) do
    with {:ok, style} <- Options.validate(opts, @schema), do: {:ok, Map.update!(style, :colors, &colors?/1)}
  end

  defp style!(opts) do
    case style(opts) do
      {:ok, style} -> style
      {:error, %Error{} = error} -> raise error
    end
  end

  defp colors?(:auto), do: IO.ANSI.enabled?()
  defp colors?(colors), do: colors

  defp of_module(%{module: module}) when module != nil, do: [module: module]
  defp of_module(_any), do: []

  defimpl Inspect do
    alias ElixirScope.Replay.Render

    def inspect(%{pid: pid, change: change}, _opts) do
      "#ElixirScope.Replay<#{Kernel.inspect(pid)} at #{Render.time(change.wall_time)}>"
    end
  end
end
