defmodule ElixirScope.Watch.Seen do
  @moduledoc false

  # What runs inside a watched process: a debug function of `:sys`, and looks at its state. It calls nothing but functions of the
  # emulator and of ours, keeps nothing in the process's dictionary, and never raises: `:sys` would remove it for that.
  #
  # What the behaviours tell `:sys.handle_debug/4` (stdlib's gen_server.erl, gen_statem.erl, gen_event.erl; the same from OTP 25 on):
  #
  #   * gen_server, and with it supervisors, agents and all that is built on it: `{:out, reply, to, state}` after a reply,
  #     `{:noreply, state}` after anything else that goes on. So the new state is at hand, and shares with the old one what did
  #     not change. Not told: the state that `{:stop, …}` leaves, and what `:sys.replace_state/2` and a code change do.
  #   * gen_statem: `{:in, event, name}`, `{:consume, event, name, next}` and others, which tell the name of the state, and never its
  #     data. Here the process orders a look: a system message to itself, by which `:sys` calls `look/3` with name and data,
  #     after what is in the mailbox already. It copies nothing, and the throw at its end leaves the state alone.
  #   * gen_event and others tell no state; and a look would see one handler after the other.

  # looks end by a throw; and an alias, in `gen`'s form of a tag, is the tail of a list
  @dialyzer {:no_return, machine: 3}
  @dialyzer {:no_improper_lists, kept: 3}

  alias ElixirScope.{Native, Site}
  alias ElixirScope.Watch.Cell

  @none :"$elixir_scope_none"

  @typedoc "What the debug function keeps: `old` is the state that it saw last, `lookup` whom the answer to a look goes to: nobody."
  @type kept :: {Site.t(), Cell.t(), follower :: pid, old :: term, nobody :: term}

  @doc "What the debug function begins with."
  @spec kept(Site.t(), Cell.t(), pid) :: kept
  def kept(site, cell, follower), do: {site, cell, follower, @none, {follower, [:alias | make_ref()]}}

  @doc "The debug function of a process whose events carry its state."
  @spec event(kept, :sys.system_event(), term) :: kept | :done
  def event({_site, cell, _follower, _old, _nobody} = kept, event, _name) do
    if Cell.closed?(cell) do
      :done
    else
      case event do
        {:noreply, state} -> changed(kept, state)
        {:out, _reply, _to, state} -> changed(kept, state)
        _other -> kept
      end
    end
  end

  # What was there before the first event has been recorded by a look, which keeps nothing but its digest.
  defp changed({site, cell, follower, @none, nobody}, state) do
    if Cell.other?(cell, state), do: count(cell, follower, fn -> Native.state_of(site, self(), state) end)
    {site, cell, follower, state, nobody}
  end

  # `===` would compare states that were built anew; what they differ in is found out natively.
  defp changed({site, cell, follower, old, nobody} = kept, state) do
    if :erts_debug.same(old, state) do
      kept
    else
      count(cell, follower, fn -> Native.state_seen(site, old, state) end)
      {site, cell, follower, state, nobody}
    end
  end

  defp count(cell, follower, record) do
    case Cell.count(cell) do
      :record ->
        record.()

      {:record, told} ->
        record.()
        send(follower, {:limit, cell, told})

      {:over, told} ->
        send(follower, {:limit, cell, told})
    end
  end

  @doc "The debug function of a state machine."
  @spec machine(kept, :sys.system_event(), term) :: kept | :done
  def machine({site, cell, follower, _old, nobody} = kept, event, _name) do
    cond do
      Cell.closed?(cell) ->
        :done

      # an answer of the callback before it has come to its end
      is_tuple(event) and elem(event, 0) == :out ->
        kept

      true ->
        if is_tuple(event) and elem(event, 0) in [:consume, :postpone], do: Cell.passed(cell)

        if Cell.order_look?(cell) do
          look = fn state -> look(site, cell, follower, state) end
          send(self(), {:system, nobody, {:replace_state, look}})
        end

        kept
    end
  end

  @doc "A look at the state, ordered by the process itself. Never returns: what is thrown is caught by `:sys`."
  @spec look(Site.t(), Cell.t(), pid, term) :: no_return
  def look(site, cell, follower, state) do
    passed = Cell.looked(cell)

    if not Cell.closed?(cell) and Cell.other?(cell, state) do
      count(cell, follower, fn ->
        # Where several events have passed, nobody knows the states between them.
        if passed > 1,
          do: Native.state_seen(site, @none, state),
          else: Native.state_of(site, self(), state)
      end)
    end

    throw(:looked)
  end

  @doc "The first look, ordered by the follower."
  @spec first_look(Site.t(), Cell.t(), term) :: no_return
  def first_look(site, cell, state) do
    unless Cell.closed?(cell) do
      Cell.looked(cell)
      Cell.other?(cell, state)
      Native.state_seen(site, @none, state)
    end

    throw(:looked)
  end

  @doc """
  Run as the function of `:sys.replace_state/3`, tells `asker` by which behaviour it is called. Never returns either, and does not
  look at the state.
  """
  @spec learn(pid, reference) :: no_return
  def learn(asker, ref) do
    {:current_stacktrace, frames} = Process.info(self(), :current_stacktrace)
    send(asker, {ref, Enum.find_value(frames, :unknown, &behaviour/1)})
    throw(:looked)
  end

  defp behaviour({module, _function, _arity, _place}) when module in [:gen_server, :gen_statem, :gen_event],
    do: module

  defp behaviour(_frame), do: nil
end
