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
  #     data. Here the process orders a look: a system message to itself, by which `:sys` calls `look/4` with name and data,
  #     after what is in the mailbox already. It copies nothing, and the throw at its end leaves the state alone.
  #   * gen_event and others tell no state; and a look would see one handler after the other.

  # looks end by a throw; and an alias, in `gen`'s form of a tag, is the tail of a list
  @dialyzer {:no_return, machine: 3}
  @dialyzer {:no_improper_lists, kept: 3}

  alias ElixirScope.{Native, Site}
  alias ElixirScope.Watch.Cell

  @none :"$elixir_scope_none"

  @typedoc """
  What a debug function keeps. `old` is the state that it saw last, `nobody` whom answers go to that nobody wants.

  A watch begins with one that has seen no state (`:begun`). The first look, which is ordered after it, so that no change can be missed,
  records the state and hands it to a second one, of which `{:handed, recorded}` says how many changes there were at that time. The second
  takes over with the next event, if none came in between. Otherwise the first goes on by itself, and what it sees first is
  recorded whole.
  """
  @type kept :: %{
          site: Site.t(),
          cell: Cell.t(),
          follower: pid,
          old: term,
          nobody: term,
          phase: :begun | {:handed, non_neg_integer} | :follows
        }

  @doc "What a debug function begins with."
  @spec kept(Site.t(), Cell.t(), pid) :: kept
  def kept(site, cell, follower) do
    nobody = {follower, [:alias | make_ref()]}
    %{site: site, cell: cell, follower: follower, old: @none, nobody: nobody, phase: :begun}
  end

  @doc "The debug function of a process whose events carry its state."
  @spec event(kept, :sys.system_event(), term) :: kept | :done
  def event(%{cell: cell} = kept, event, _name) do
    if Cell.closed?(cell), do: :done, else: follow(kept, event)
  end

  defp follow(%{phase: :begun, cell: cell} = kept, event) do
    if Cell.handed_over?(cell), do: :done, else: seen(kept, event)
  end

  defp follow(%{phase: {:handed, recorded}, cell: cell} = kept, event) do
    if Cell.recorded(cell) == recorded do
      Cell.hand_over(cell)
      seen(%{kept | phase: :follows}, event)
    else
      :done
    end
  end

  defp follow(kept, event), do: seen(kept, event)

  defp seen(kept, {:noreply, state}), do: changed(kept, state)
  defp seen(kept, {:out, _reply, _to, state}), do: changed(kept, state)
  defp seen(kept, _event), do: kept

  defp changed(%{old: @none, cell: cell} = kept, state) do
    if Cell.other?(cell, state), do: record(kept, state), else: kept
  end

  # `===` would compare states that were built anew; what they differ in is found out natively.
  defp changed(%{old: old} = kept, state) do
    if :erts_debug.same(old, state), do: kept, else: record(kept, state)
  end

  defp record(%{site: site, cell: cell, follower: follower, old: old} = kept, state) do
    count(cell, follower, fn -> Native.state_seen(site, old, state) end)
    %{kept | old: state}
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
  def machine(%{site: site, cell: cell, follower: follower, nobody: nobody} = kept, _event, _name) do
    cond do
      Cell.closed?(cell) ->
        :done

      Cell.order_look?(cell) ->
        look = fn state -> look(site, cell, follower, state) end
        send(self(), {:system, nobody, {:replace_state, look}})
        kept

      true ->
        kept
    end
  end

  @doc "A look at the state, ordered by the process itself. Never returns: what is thrown is caught by `:sys`."
  @spec look(Site.t(), Cell.t(), pid, term) :: no_return
  def look(site, cell, follower, state) do
    Cell.looked(cell)

    # What was in between nobody knows, nor what was changed from: the look before kept nothing.
    if not Cell.closed?(cell) and Cell.other?(cell, state),
      do: count(cell, follower, fn -> Native.state_seen(site, @none, state) end)

    throw(:looked)
  end

  @doc "The first look, ordered by the follower; `successor` names the debug function to which the state is handed, if any."
  @spec first_look(kept, successor :: term, term) :: no_return
  def first_look(%{site: site, cell: cell, nobody: nobody} = kept, successor, state) do
    unless Cell.closed?(cell) do
      recorded = Cell.recorded(cell)
      Cell.other?(cell, state)
      Native.state_seen(site, @none, state)

      if successor do
        kept = %{kept | old: state, phase: {:handed, recorded}}
        send(self(), {:system, nobody, {:debug, {:install, {successor, &__MODULE__.event/3, kept}}}})
      end
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
