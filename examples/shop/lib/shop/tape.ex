defmodule Shop.Tape do
  @moduledoc "Reading the tape, with the few turns that every question here needs."

  alias ElixirScope.Events.{FunctionEntry, FunctionExit, StateChange}

  @page 2_000
  @nobody_id 0

  # A call that did not end like this was left by an error, an exit or a throw.
  @in_order [:normal, :tail_call]

  # What is no error to the one who asks for the past, but an answer.
  @untold [:no_state_recorded, :never_changed, :evicted]

  @typedoc "Why the tape has nothing to tell of a process at an instant."
  @type past ::
          {:error,
           :no_state_recorded | :never_changed | :evicted | {:exited, at :: integer(), reason :: term()}}

  @doc "This instant on the tape's clock."
  @spec now() :: integer()
  def now, do: answer!(ElixirScope.now())

  @doc "How the recorder is."
  @spec status() :: map()
  def status, do: answer!(ElixirScope.status())

  @doc "All matching events, oldest first."
  @spec all(keyword()) :: [struct()]
  def all(opts \\ []), do: read(Keyword.put(opts, :limit, :infinity))

  @doc "At most `limit` of the newest matching events, or what `opts` say otherwise."
  @spec read(keyword()) :: [struct()]
  def read(opts), do: answer!(ElixirScope.get_events(opts))

  @doc "The newest matching event, or nil."
  @spec newest(keyword()) :: struct() | nil
  def newest(opts), do: opts |> Keyword.put(:limit, 1) |> read() |> List.first()

  @doc "How many events match."
  @spec count(keyword()) :: non_neg_integer()
  def count(opts \\ []), do: answer!(ElixirScope.count_events(opts))

  @doc "The same as `all/1`, a page at a time, however long the tape is."
  @spec stream(keyword()) :: Enumerable.t()
  def stream(opts \\ []) do
    Stream.unfold(@nobody_id, fn last_id ->
      case read([after: last_id, limit: @page] ++ opts) do
        [] -> nil
        events -> {events, List.last(events).id}
      end
    end)
    |> Stream.flat_map(& &1)
  end

  @doc "Calls of a function, as they began; they carry the arguments."
  @spec calls(module(), atom(), keyword()) :: [%FunctionEntry{}]
  def calls(module, function, opts \\ []), do: all(of(:function_entry, module, function, opts))

  @doc "Calls of a function, as they ended; they carry the result."
  @spec ends(module(), atom(), keyword()) :: [%FunctionExit{}]
  def ends(module, function, opts \\ []), do: all(of(:function_exit, module, function, opts))

  @doc "The states that a module's processes came to."
  @spec states(module(), keyword()) :: [%StateChange{}]
  def states(module, opts \\ []), do: all([event_type: :state_change, module: module] ++ opts)

  @doc """
  The state of a process at an instant, and how far it can be relied on; or what the tape says instead: it has none as early as
  that, there was no room to keep it, or the process had ended.
  """
  @spec state_at(pid(), integer() | :last) :: {:ok, state :: term(), quality :: atom()} | past()
  def state_at(pid, at) do
    with {:ok, state, meta} <- pid |> ElixirScope.fetch_state_at(at) |> past!(),
         do: {:ok, state, meta.quality}
  end

  @doc "The states that a process came to, oldest first, each with what changed; `[]` where there is none any more."
  @spec history(pid(), keyword()) :: [%StateChange{}]
  def history(pid, opts \\ []) do
    case pid |> ElixirScope.get_state_history(Keyword.put_new(opts, :limit, :infinity)) |> past!() do
      {:error, _none} -> []
      changes -> changes
    end
  end

  @doc "What changed in the state of a process from one instant to another."
  @spec diff(pid(), from :: integer(), to :: integer() | :last) :: {:ok, [map()]} | past()
  def diff(pid, from, to), do: pid |> ElixirScope.get_state_diff(from, to) |> past!()

  @doc "The last change of a part of a state; `before:` an instant, or with `after:` the first one later than that."
  @spec last_change(pid(), path :: [term()], keyword()) :: {:ok, %StateChange{}} | past()
  def last_change(pid, path, opts \\ []) do
    with %StateChange{} = change <- pid |> ElixirScope.last_change(path, opts) |> past!(), do: {:ok, change}
  end

  @doc "How an ended call began."
  @spec beginning(%FunctionExit{}) :: %FunctionEntry{}
  def beginning(%FunctionExit{call_id: call_id}) do
    [entry] = read(call_id: call_id, event_type: :function_entry, where: [{[:id], :==, call_id}])
    entry
  end

  @doc "Adds that a call was left by an error, an exit or a throw."
  @spec raised(keyword()) :: keyword()
  def raised(opts) do
    where = for reason <- @in_order, do: {[:exit_reason], :!=, reason}
    [event_type: :function_exit] ++ Keyword.update(opts, :where, where, &(where ++ &1))
  end

  defp of(type, module, function, opts),
    do: [event_type: type, module: module, function: function] ++ opts

  defp past!({:error, reason}) when reason in @untold, do: {:error, reason}
  defp past!({:error, {:exited, at, reason}}), do: {:error, {:exited, at, reason}}
  defp past!(answer), do: answer!(answer)

  defp answer!({:error, :not_running}), do: raise("the recorder is not running, so there is no tape to ask")
  defp answer!({:error, error}) when is_exception(error), do: raise(error)
  defp answer!({:error, reason}), do: raise("the tape does not answer: #{inspect(reason)}")
  defp answer!(answer), do: answer
end
