defmodule ElixirScope.Flow do
  @moduledoc false

  # Who sent what to whom. Runs in the calling process, muted; messages are paired natively.

  alias ElixirScope.{Error, Events, Muted, Native, Options, Query}

  # What a flow does not take: it names the processes itself, and shows one kind of event.
  @not_flow [:pid, :event_type, :call_id]

  @flow [
    direction: [
      type: {:one_of, [:forward, :both]},
      default: :forward,
      doc: "`:both`: what `to` sent to `from` as well."
    ]
  ]

  @chain [
    limit: [
      type: {:or, :infinity, :pos_integer},
      default: 1_000,
      doc: "How many events at most: those that are nearest."
    ]
  ]

  @expected "a pid, a registered name, {:global, name}, {:via, module, name}, a list of these, or :all"

  @typedoc "A process, by its pid or by a name that it has or had; or several."
  @type party :: pid | atom | {:global, term} | {:via, module, term} | [party]

  @spec flow_docs() :: String.t()
  def flow_docs, do: Query.Options.docs(@not_flow) <> "\n" <> Options.docs(@flow)

  @spec chain_docs() :: String.t()
  def chain_docs, do: Options.docs(@chain)

  @spec get_message_flow(term, term, term) :: [Events.MessageSend.t()] | Query.error()
  def get_message_flow(from, to, opts) do
    ask(fn offset ->
      with {:ok, from} <- party(:from, from),
           {:ok, to} <- party(:to, to),
           {:ok, direction, opts} <- direction(opts),
           {:ok, query} <- Query.Options.validate(opts, offset, @not_flow),
           {:ok, from} <- resolve(from),
           {:ok, to} <- resolve(to) do
        query
        |> Map.put(:both, direction == :both)
        |> Map.put(:from_names, from.names)
        |> Map.put(:to_names, to.names)
        |> put_pids(:from, from.pids)
        |> put_pids(:to, to.pids)
        |> Native.message_flow()
        |> Query.answer("ElixirScope.get_message_flow/3")
        |> known(from, to)
      end
    end)
  end

  defp ask(fun) do
    Muted.run(fn ->
      with true <- Native.running() || {:error, :not_running},
           offset when is_integer(offset) <- Native.time_offset() do
        fun.(offset)
      end
    end)
  end

  defp direction(opts) do
    if Options.proper_list?(opts) and Enum.all?(opts, &match?({_key, _value}, &1)) do
      {own, others} = Enum.split_with(opts, fn {key, _value} -> Keyword.has_key?(@flow, key) end)
      with {:ok, %{direction: direction}} <- Options.validate(own, @flow), do: {:ok, direction, others}
    else
      Error.invalid(:opts, opts, "a keyword list of options")
    end
  end

  # -- Causes and effects -------------------------------------------------------------------------------------------------

  @spec trace_causes(term, term) :: [Events.t()] | Query.error()
  def trace_causes(id, opts), do: chain("ElixirScope.trace_causes/2", id, opts, &Native.causes/1)

  @spec trace_effects(term, term) :: [Events.t()] | Query.error()
  def trace_effects(id, opts), do: chain("ElixirScope.trace_effects/2", id, opts, &Native.effects/1)

  defp chain(what, id, opts, ask) do
    ask(fn _offset ->
      with :ok <- event_id(id),
           {:ok, %{limit: limit}} <- Options.validate(opts, @chain),
           {:error, :no_event} <- ask.(%{id: id, limit: limit}) do
        {:error, %Error{reason: {:no_event, id}}}
      else
        answer -> Query.answer(answer, what)
      end
    end)
  end

  defp event_id(id) when is_integer(id) and id > 0, do: :ok
  defp event_id(id), do: Error.invalid(:event_id, id, "the id of an event, a positive integer")

  # -- Who ----------------------------------------------------------------------------------------------------------------

  defp party(_key, :all), do: {:ok, :all}

  defp party(key, parties) when is_list(parties) do
    cond do
      not Options.proper_list?(parties) -> Error.invalid(key, parties, @expected)
      wrong = Enum.find(parties, &(not party?(&1))) -> Error.invalid(key, wrong, @expected)
      remote = Enum.find(parties, &(is_pid(&1) and node(&1) != node())) -> {:error, {:remote, node(remote)}}
      true -> {:ok, parties}
    end
  end

  defp party(key, party) do
    if party?(party), do: party(key, [party]), else: Error.invalid(key, party, @expected)
  end

  defp party?(party) when is_pid(party), do: true
  defp party?(name) when is_atom(name), do: name not in [nil, true, false, :all, :undefined]
  defp party?({:global, _name}), do: true
  defp party?({:via, module, _name}), do: is_atom(module)
  defp party?(_other), do: false

  # The processes that a name means: who has it now, and who is known to have had it.
  defp resolve(:all), do: {:ok, %{pids: :all, names: []}}

  defp resolve(parties) do
    {pids, names} = Enum.split_with(parties, &is_pid/1)

    with {:ok, named} <- named(names) do
      {:ok, %{pids: Enum.uniq(pids ++ named), names: Enum.flat_map(names, &spellings/1)}}
    end
  end

  defp named(names) do
    Enum.reduce_while(names, {:ok, []}, fn name, {:ok, pids} ->
      case on_tape(name) do
        found when is_list(found) -> {:cont, {:ok, Enum.filter([whereis(name)], &is_pid/1) ++ found ++ pids}}
        error -> {:halt, error}
      end
    end)
  end

  defp spellings(name) when is_atom(name), do: [name, {name, node()}]
  defp spellings(name), do: [name]

  # A `:via` module is anybody's code.
  defp whereis(name) do
    case GenServer.whereis(name) do
      pid when is_pid(pid) and node(pid) == node() -> pid
      _nobody_here -> nil
    end
  catch
    _kind, _reason -> nil
  end

  defp on_tape(name) when is_atom(name) do
    with registered when is_list(registered) <- events(:process_register, :name, name),
         spawned when is_list(spawned) <- events(:process_spawn, :registered_name, name) do
      Enum.map(registered, & &1.pid) ++ Enum.map(spawned, & &1.spawned_pid)
    else
      error -> Query.answer(error, "ElixirScope.get_message_flow/3")
    end
  end

  defp on_tape(_name), do: []

  defp events(type, field, name) do
    Native.get_events(%{
      event_type: [type],
      where: [{[field], :==, name}],
      limit: :infinity,
      order: :asc
    })
  end

  defp put_pids(query, _key, :all), do: query
  defp put_pids(query, key, pids), do: Map.put(query, key, pids)

  # Nothing at all about a name that nobody has or had is a wrong name rather than silence.
  defp known([], from, to) do
    cond do
      name = nobody(from) -> {:error, %Error{reason: {:no_process, name}}}
      name = nobody(to) -> {:error, %Error{reason: {:no_process, name}}}
      true -> []
    end
  end

  defp known(answer, _from, _to), do: answer

  defp nobody(%{pids: [], names: [name | _]}), do: name
  defp nobody(_somebody), do: nil
end
