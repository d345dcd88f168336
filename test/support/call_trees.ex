defmodule ElixirScope.Test.CallTrees do
  @moduledoc """
  Programs whose calls are known before they run.

  A program is a plan of calls, each with a number of its own; the module's functions carry out what the plan says of their
  number. `expected/1` walks through the same plan and tells what has to be on the tape.

      {id, function, steps, last}
        steps: [{:call, call} | {:caught, call} | {:spawned, call}]
        last:  :value | {:tail, how, call} | {:raise, class} | :sleep      # sleeps until it is killed
  """

  import ElixirScope.Test.Generate, only: [one_of: 1, integer: 1]

  # Each function carries a plan out by itself: what it does at the end has to stand last in it.
  @ends """
        :value -> {:value, id}
        {:raise, :error} -> :erlang.error({:planned, id})
        {:raise, :exit} -> exit({:planned, id})
        {:raise, :throw} -> throw({:planned, id})
        :sleep -> [CallTrees.sleep(id)]
        {:tail, :self, {_, :one, _, _} = call} -> one(call)
        {:tail, :self, {_, :two, _, _} = call} -> two(call)
        {:tail, :self, {_, :three, _, _} = call} -> three(call)
        {:tail, :remote, {_, :one, _, _} = call} -> __MODULE__.one(call)
        {:tail, :remote, {_, :two, _, _} = call} -> __MODULE__.two(call)
        {:tail, :remote, {_, :three, _, _} = call} -> __MODULE__.three(call)
        {:tail, :apply, {_, function, _, _} = call} -> apply(__MODULE__, function, [call])
        {:tail, :fun, {_, function, _, _} = call} -> CallTrees.fun(__MODULE__, function).(call)
  """

  @source """
  defmodule Scope.Tree do
    alias ElixirScope.Test.CallTrees

    def one({id, _, steps, last}) do
      CallTrees.steps(__MODULE__, steps)
      case last do
  #{@ends}
      end
    end

    def two({id, _, [], :value}), do: {:value, id}

    def two({id, _, steps, last}) do
      if steps != [], do: CallTrees.steps(__MODULE__, steps)

      try do
        last
      catch
        _ -> :never
      else
  #{@ends}
      end
    end

    def three(call) do
      with {id, _, [_ | _] = steps, last} <- call do
        CallTrees.steps(__MODULE__, steps)
        case last do
  #{@ends}
        end
      else
        {id, _, [], last} ->
          case last do
  #{@ends}
          end
      end
    end
  end
  """

  def source, do: @source

  # -- For the programs -----------------------------------------------------------------------------------------------------

  def fun(module, function), do: Function.capture(module, function, 1)

  def sleep(id) do
    Process.sleep(:infinity)
    id
  end

  def steps(module, steps), do: Enum.each(steps, &step(module, &1))

  defp step(module, {:call, {_, function, _, _} = call}), do: {:called, apply(module, function, [call])}

  defp step(module, {:caught, {_, function, _, _} = call}) do
    {:called, apply(module, function, [call])}
  catch
    _class, {:planned, _id} -> :caught
  end

  # -- Plans ----------------------------------------------------------------------------------------------------------------

  @doc "A random plan of at most some `size` calls."
  def plan(size) do
    {call, _left} = call(size, 4, fn -> one_of([:value, :value, {:raise, :error}, :sleep]) end)
    {call, _next} = number(call, 1)
    call
  end

  defp call(left, depth, last) do
    {steps, left} =
      if depth > 0 do
        Enum.flat_map_reduce(1..integer(1..4), left, fn
          _, left when left <= 1 ->
            {[], left}

          _, left ->
            kind = one_of([:call, :caught])
            ends = if kind == :caught, do: &raises_or_not/0, else: fn -> :value end
            {call, left} = call(left - 1, depth - 1, ends)
            {[{kind, call}], left}
        end)
      else
        {[], left}
      end

    if left > 1 and integer(1..2) == 1 do
      {next, left} = call(left - 1, depth, last)
      {{0, function(), steps, {:tail, one_of([:self, :remote, :apply, :fun]), next}}, left}
    else
      {{0, function(), steps, last.()}, left}
    end
  end

  defp raises_or_not, do: one_of([:value, {:raise, :error}, {:raise, :exit}, {:raise, :throw}])
  defp function, do: one_of([:one, :two, :three])

  defp number({0, function, steps, last}, id) do
    {steps, next} =
      Enum.map_reduce(steps, id + 1, fn {kind, call}, next ->
        {call, next} = number(call, next)
        {{kind, call}, next}
      end)

    {last, next} =
      case last do
        {:tail, how, call} ->
          {call, next} = number(call, next)
          {{:tail, how, call}, next}

        last ->
          {last, next}
      end

    {{id, function, steps, last}, next}
  end

  # -- What is on the tape --------------------------------------------------------------------------------------------------

  @doc """
  What a plan leaves: `%{id => %{function, parent, ends, outcome}}`. `ends` is nil for a call that was going on when its process
  died, `outcome` what comes of it in the end, through all its tail calls.
  """
  def expected(plan) do
    {calls, _ends} = walk(plan, nil, %{})
    calls
  end

  defp walk({id, function, steps, last}, parent, calls) do
    calls = Map.put(calls, id, %{function: function, parent: parent, ends: nil, outcome: nil})

    {calls, raised} =
      Enum.reduce(steps, {calls, nil}, fn
        {kind, call}, {calls, nil} ->
          case walk(call, id, calls) do
            {calls, {:raised, _, _} = raised} when kind == :call -> {calls, raised}
            {calls, :sleeping} -> {calls, :sleeping}
            {calls, _ended} -> {calls, nil}
          end

        _step, stopped ->
          stopped
      end)

    {calls, ends, outcome} =
      case raised || last do
        :sleeping ->
          {calls, nil, :sleeping}

        :sleep ->
          {calls, nil, :sleeping}

        {:raised, class, by} ->
          {calls, {class, by}, {:raised, class, by}}

        {:raise, class} ->
          {calls, {class, id}, {:raised, class, id}}

        :value ->
          {calls, {:value, id}, {:value, id}}

        {:tail, _how, call} ->
          # in the place of this one, and with its caller
          {calls, outcome} = walk(call, parent, calls)
          {calls, :tail, outcome}
      end

    # a tail call is made once its function has ended, whatever comes of it
    {Map.update!(calls, id, &%{&1 | ends: ends, outcome: outcome}), outcome}
  end
end
