defmodule ElixirScope.Instrument.Transform.Effects do
  @moduledoc false

  # What a module does to other processes: messages that it sends, processes that it starts. The calls stay as they are; what they
  # do is recorded beside them, messages before they are sent, so that their record comes before any of what they cause.

  alias ElixirScope.Instrument.Form

  # {module, function, arity} => {what, index of the receiver, index of the message}
  @messages %{
    {:erlang, :send, 2} => {:send, 0, 1},
    {:erlang, :send, 3} => {:send, 0, 1},
    {:erlang, :send_nosuspend, 2} => {:send, 0, 1},
    {Process, :send, 3} => {:send, 0, 1},
    {Kernel, :send, 2} => {:send, 0, 1},
    {GenServer, :call, 2} => {:call, 0, 1},
    {GenServer, :call, 3} => {:call, 0, 1},
    {GenServer, :cast, 2} => {:cast, 0, 1},
    {GenServer, :reply, 2} => {:reply, 0, 1},
    {:gen_server, :call, 2} => {:call, 0, 1},
    {:gen_server, :call, 3} => {:call, 0, 1},
    {:gen_server, :cast, 2} => {:cast, 0, 1},
    {:gen_server, :reply, 2} => {:reply, 0, 1},
    {:gen_statem, :call, 2} => {:call, 0, 1},
    {:gen_statem, :call, 3} => {:call, 0, 1},
    {:gen_statem, :cast, 2} => {:cast, 0, 1},
    {:gen_statem, :reply, 2} => {:reply, 0, 1},
    {:gen_event, :notify, 2} => {:send, 0, 1},
    {:gen_event, :sync_notify, 2} => {:call, 0, 1}
  }

  @spawning MapSet.new(
              for(
                {name, arities} <- [
                  spawn: [1, 2, 3, 4],
                  spawn_link: [1, 2, 3, 4],
                  spawn_monitor: [1, 2, 3, 4],
                  spawn_opt: [2, 3, 4, 5]
                ],
                arity <- arities,
                do: {:erlang, name, arity}
              ) ++
                for(
                  {name, arities} <- [
                    spawn: [1, 2, 3, 4],
                    spawn_link: [1, 2, 3, 4],
                    spawn_opt: [2, 3, 4, 5],
                    start: [3, 4, 5],
                    start_link: [3, 4, 5],
                    start_monitor: [3, 4, 5]
                  ],
                  arity <- arities,
                  do: {:proc_lib, name, arity}
                ) ++
                for(
                  module <- [:gen_server, :gen_statem, :gen_event],
                  name <- [:start, :start_link],
                  arity <- 0..4,
                  do: {module, name, arity}
                ) ++
                for(
                  module <- [GenServer, Agent, Task],
                  name <- [:start, :start_link],
                  arity <- 1..4,
                  do: {module, name, arity}
                ) ++
                for(
                  {name, arities} <- [
                    async: [2, 3, 4, 5],
                    async_nolink: [2, 3, 4, 5],
                    start_child: [2, 3, 4, 5]
                  ],
                  arity <- arities,
                  do: {Task.Supervisor, name, arity}
                ) ++
                [
                  {Task, :async, 1},
                  {Task, :async, 3},
                  {Process, :spawn, 2},
                  {Process, :spawn, 4},
                  {Supervisor, :start_link, 2},
                  {Supervisor, :start_link, 3},
                  {Supervisor, :start_child, 2},
                  {DynamicSupervisor, :start_link, 1},
                  {DynamicSupervisor, :start_link, 3},
                  {DynamicSupervisor, :start_child, 2},
                  {:supervisor, :start_link, 2},
                  {:supervisor, :start_link, 3},
                  {:supervisor, :start_child, 2}
                ]
            )

  @type kind :: {:message, atom, non_neg_integer, non_neg_integer} | :spawn | nil

  @doc "What a call does to other processes."
  @spec kind(tuple, map) :: kind
  def kind({:op, _anno, :!, _to, _message}, _scope), do: {:message, :send, 0, 1}

  def kind({:call, _anno, target, args}, scope) do
    function = function(target, length(args), scope)

    case @messages do
      %{^function => {type, to, message}} -> {:message, type, to, message}
      _other -> if MapSet.member?(@spawning, function), do: :spawn
    end
  end

  def kind(_other, _scope), do: nil

  defp function({:remote, _, {:atom, _, module}, {:atom, _, name}}, arity, _scope), do: {module, name, arity}

  defp function({:atom, _, name}, arity, scope) do
    if MapSet.member?(scope.functions, {name, arity}),
      do: nil,
      else: {Map.get(scope.imports, {name, arity}, :erlang), name, arity}
  end

  defp function(_dynamic, _arity, _scope), do: nil

  @doc """
  Records the effects of all expressions in a form, wherever they stand in it. Variables that it needs are numbered from `first`.
  """
  @spec record(term, map, non_neg_integer) :: term
  def record(form, scope, first \\ 0) do
    {form, _count} = walk(form, first, scope)
    form
  end

  @doc "A call whose effects are recorded by who made this: `record/2` leaves it alone, but for its arguments."
  @spec seen(tuple) :: tuple
  def seen(call), do: {:seen, call}

  # From the inside out. Patterns and guards hold none of these calls, so all parts of a form may be walked alike.
  defp walk({:op, anno, :!, to, message}, count, scope) do
    {[to, message], count} = walk_all([to, message], count, scope)
    {bindings, [to, message], count} = bind([to, message], count, anno)
    recorded = message({:op, anno, :!, to, message}, :send, to, message, scope)
    {{:block, anno, bindings ++ [recorded, {:op, anno, :!, to, message}]}, count}
  end

  defp walk({:call, anno, target, args} = call, count, scope) do
    case kind(call, scope) do
      {:message, type, to, message} ->
        {args, count} = walk_all(args, count, scope)
        {bindings, args, count} = bind(args, count, anno)
        call = {:call, anno, target, args}
        recorded = message(call, type, Enum.at(args, to), Enum.at(args, message), scope)
        {{:block, anno, bindings ++ [recorded, call]}, count}

      :spawn ->
        {args, count} = walk_all(args, count, scope)
        value = name(count)
        call = {:call, anno, target, args}

        block = [
          Form.match(anno, Form.var(anno, value), call),
          spawned(call, value, scope),
          Form.var(anno, value)
        ]

        {{:block, anno, block}, count + 1}

      nil ->
        {target, count} = walk(target, count, scope)
        {args, count} = walk_all(args, count, scope)
        {{:call, anno, target, args}, count}
    end
  end

  defp walk({:seen, {:call, anno, target, args}}, count, scope) do
    {args, count} = walk_all(args, count, scope)
    {{:call, anno, target, args}, count}
  end

  defp walk({:"$elixir_scope_literal", _anno, _term} = literal, count, _scope), do: {literal, count}

  defp walk(form, count, scope) when is_tuple(form) do
    {parts, count} = walk_all(Tuple.to_list(form), count, scope)
    {List.to_tuple(parts), count}
  end

  defp walk([head | tail], count, scope) do
    {head, count} = walk(head, count, scope)
    {tail, count} = walk(tail, count, scope)
    {[head | tail], count}
  end

  defp walk(other, count, _scope), do: {other, count}

  defp walk_all(forms, count, scope), do: Enum.map_reduce(forms, count, &walk(&1, &2, scope))

  # Arguments are evaluated once, in their order.
  defp bind(args, count, anno) do
    {bound, {bindings, count}} =
      Enum.map_reduce(args, {[], count}, fn arg, {bindings, count} ->
        if simple?(arg) do
          {arg, {bindings, count}}
        else
          variable = Form.var(anno, name(count))
          {variable, {[Form.match(anno, variable, arg) | bindings], count + 1}}
        end
      end)

    {Enum.reverse(bindings), bound, count}
  end

  @doc "Whether evaluating it again does nothing."
  @spec simple?(tuple) :: boolean
  def simple?({kind, _anno, _value}) when kind in [:var, :atom, :integer, :char, :float, :string], do: true
  def simple?({nil, _anno}), do: true
  def simple?(_other), do: false

  defp name(count), do: :"scope@effect#{count}"

  @doc "The record of a message that is about to be sent."
  @spec message(tuple, atom, tuple, tuple, map) :: tuple
  def message(call, type, to, message, scope) do
    anno = elem(call, 1)
    Form.native(anno, :message, [site(call, scope), Form.atom(anno, type), to, message])
  end

  @doc "The record of what a spawning call gave."
  @spec spawned(tuple, atom, map) :: tuple
  def spawned(call, variable, scope) do
    anno = elem(call, 1)
    Form.native(anno, :spawned, [site(call, scope), Form.var(anno, variable)])
  end

  defp site(call, scope), do: Form.literal(elem(call, 1), scope.mark.(Form.line(call)))
end
