defmodule ElixirScope.Tracing.Flags do
  @moduledoc false

  # Which flags a trace needs, and on which processes; and which may go when it ends.

  alias ElixirScope.{Error, Native}
  alias ElixirScope.Tracing.{Crowd, Session}

  @told %{
    call: :call,
    return: :call,
    exception: :call,
    send: :send,
    receive: :receive,
    procs: :procs,
    gc: :garbage_collection
  }

  @doc "The flags for what a plan wants to be told."
  @spec of(map) :: [Session.flag()]
  def of(plan) do
    told = for event <- plan.events, do: @told[event]
    # How a child's birth is told in its own name, by which it joins.
    joining = if plan.follow == :spawn or plan.scope == :new, do: [:procs], else: []
    inherited = if plan.follow == :spawn, do: [:set_on_spawn], else: []
    enclosed = if plan.enclosing, do: [:call], else: []
    Enum.uniq(told ++ joining ++ inherited ++ enclosed)
  end

  # Everybody may get a message.
  defp everyone?(plan), do: plan.scope == :all or plan.follow == :message
  defp newborn?(plan), do: everyone?(plan) or plan.scope == :new

  @doc """
  Sets the flags of a trace; answers how many were left out. Those that are born while the living ones are gone through have flags from
  their birth.
  """
  @spec set(map, Session.t()) :: {:ok, map} | {:error, Error.t()}
  def set(%{plan: plan, flags: flags, number: number}, session) do
    with :ok <- set_newborn(plan, flags, session),
         :ok <- set_named(plan.named, flags, session) do
      found = if everyone?(plan), do: Process.list() -- plan.named, else: plan.found -- plan.named
      {asked, left_out} = Enum.split_with(found, &(not MapSet.member?(plan.left_out, &1)))
      answers = Crowd.map(asked, &{&1, Session.set(session, &1, flags)})
      by_other = for {pid, {:other, _tracer}} <- answers, do: pid
      Native.trace_leave_out(number, left_out ++ by_other)

      {:ok,
       %{
         ours_or_writers: length(left_out),
         traced_by_other: length(by_other),
         record_themselves: plan.own_functions
       }}
    end
  end

  defp set_newborn(plan, flags, session) do
    with true <- newborn?(plan),
         {:other, tracer} <- Session.set(session, :new, flags) do
      by_other(:new, tracer)
    else
      _not_wanted_or_set -> :ok
    end
  end

  defp set_named([], _flags, _session), do: :ok

  defp set_named([pid | rest], flags, session) do
    case Session.set(session, pid, flags) do
      :ok -> set_named(rest, flags, session)
      :gone -> {:error, %Error{reason: {:no_process, pid}}}
      {:other, tracer} -> by_other(pid, tracer)
    end
  end

  @doc "The error of what another tool traces."
  @spec by_other(pid | :new, tracer :: term) :: {:error, Error.t()}
  def by_other(what, tracer),
    do: {:error, %Error{reason: {:traced_by_other, what}, details: %{tracer: tracer}}}

  @doc """
  Takes away what a trace had and those that are left do not need. Whoever joined it without having been named is among all.
  """
  @spec clear(map, [map], Session.t()) :: :ok
  def clear(%{plan: plan, flags: flags}, left, session) do
    Session.clear(session, :new, flags -- needed(left, &newborn?(&1.plan)))

    touched = if newborn?(plan) or plan.follow == :spawn, do: Process.list(), else: plan.named ++ plan.found

    kept = kept(left)
    Crowd.map(touched, &Session.clear(session, &1, flags -- kept.(&1)))
    :ok
  end

  # Only the native side knows who has joined which trace; that a process belongs to none it says.
  defp kept(traces) do
    by_everyone = needed(traces, &everyone?(&1.plan))
    joined = needed(traces, &(&1.plan.follow == :spawn or &1.plan.scope == :new))

    members =
      for %{plan: plan, flags: flags} <- traces, pid <- plan.named ++ plan.found, reduce: %{} do
        members -> Map.update(members, pid, flags, &(flags ++ &1))
      end

    fn pid ->
      joined = if joined != [] and Native.enabled(:trace_status, 0, pid) != :remove, do: joined, else: []
      by_everyone ++ Map.get(members, pid, []) ++ joined
    end
  end

  defp needed(traces, choose), do: for(trace <- traces, choose.(trace), flag <- trace.flags, do: flag)
end
