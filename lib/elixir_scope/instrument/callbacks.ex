defmodule ElixirScope.Instrument.Callbacks do
  @moduledoc false

  # The callbacks of behaviours that OTP, Elixir, GenStage, Phoenix, RabbitMQ and ejabberd define: which argument is the message
  # that is being handled, who sent it, which one is the state, and how the result holds the new one. By name: none of these
  # behaviours needs to be there.

  # function/arity => {receives, shape, state}. `receives` is {via, index of the message, index of the sender}. `state` is the
  # index of the old state, a pair of them for a state machine's name and data, or nil where there is none yet.
  @server %{
    {:init, 1} => {nil, :init, nil},
    {:handle_call, 3} => {{:call, 0, 1}, :server, 2},
    {:handle_cast, 2} => {{:cast, 0, nil}, :server, 1},
    {:handle_info, 2} => {{:send, 0, nil}, :server, 1},
    {:handle_continue, 2} => {nil, :server, 1},
    {:terminate, 2} => {nil, nil, nil},
    {:code_change, 3} => {nil, :code_change, 1},
    {:format_status, 1} => {nil, nil, nil},
    {:format_status, 2} => {nil, nil, nil}
  }

  # RabbitMQ's server, which may change its state on its way to sleep and back.
  @server2 Map.merge(@server, %{
             {:handle_pre_hibernate, 1} => {nil, :server, 0},
             {:handle_post_hibernate, 1} => {nil, :server, 0}
           })

  @event %{
    {:init, 1} => {nil, :init, nil},
    {:handle_event, 2} => {{:send, 0, nil}, :event, 1},
    {:handle_call, 2} => {{:call, 0, nil}, :event, 1},
    {:handle_info, 2} => {{:send, 0, nil}, :event, 1},
    {:terminate, 2} => {nil, nil, nil},
    {:code_change, 3} => {nil, :code_change, 1}
  }

  @statem %{
    {:init, 1} => {nil, :statem, nil},
    {:callback_mode, 0} => {nil, nil, nil},
    {:handle_event, 4} => {{:send, 1, nil}, :statem, {2, 3}},
    {:terminate, 3} => {nil, nil, nil},
    {:code_change, 4} => {nil, nil, nil}
  }

  @supervisor %{{:init, 1} => {nil, nil, nil}}
  @application %{
    {:start, 2} => {nil, nil, nil},
    {:stop, 1} => {nil, nil, nil},
    {:prep_stop, 1} => {nil, nil, nil}
  }

  # The socket that `mount/3` and `join/3` are given is the process's; the view's and the channel's own states begin with their results.
  @live_view %{
    {:mount, 3} => {nil, :socket, nil},
    {:handle_params, 3} => {nil, :socket, 2},
    {:handle_event, 3} => {nil, :socket, 2},
    {:handle_async, 3} => {nil, :socket, 2},
    {:handle_call, 3} => {{:call, 0, 1}, :socket, 2},
    {:handle_cast, 2} => {{:cast, 0, nil}, :socket, 1},
    {:handle_info, 2} => {{:send, 0, nil}, :socket, 1},
    {:render, 1} => {nil, nil, nil},
    {:terminate, 2} => {nil, nil, nil}
  }

  @live_component %{
    {:mount, 1} => {nil, :socket, 0},
    {:update, 2} => {nil, :socket, 1},
    {:handle_event, 3} => {nil, :socket, 2},
    {:handle_async, 3} => {nil, :socket, 2},
    {:render, 1} => {nil, nil, nil}
  }

  @channel %{
    {:join, 3} => {nil, :socket, nil},
    {:handle_in, 3} => {nil, :socket, 2},
    {:handle_out, 3} => {nil, :socket, 2},
    {:handle_call, 3} => {{:call, 0, 1}, :socket, 2},
    {:handle_cast, 2} => {{:cast, 0, nil}, :socket, 1},
    {:handle_info, 2} => {{:send, 0, nil}, :socket, 1},
    {:terminate, 2} => {nil, nil, nil}
  }

  @stage %{
    {:init, 1} => {nil, :stage, nil},
    {:handle_call, 3} => {{:call, 0, 1}, :stage, 2},
    {:handle_cast, 2} => {{:cast, 0, nil}, :stage, 1},
    {:handle_info, 2} => {{:send, 0, nil}, :stage, 1},
    {:handle_demand, 2} => {nil, :stage, 1},
    {:handle_events, 3} => {nil, :stage, 2},
    {:handle_subscribe, 4} => {nil, :stage, 3},
    {:handle_cancel, 3} => {nil, :stage, 2},
    {:terminate, 2} => {nil, nil, nil},
    {:code_change, 3} => {nil, :code_change, 1},
    {:format_status, 2} => {nil, nil, nil}
  }

  @behaviours %{
    GenServer => @server,
    GenStage => @stage,
    :gen_server => @server,
    :gen_server2 => @server2,
    :p1_server => @server,
    :gen_statem => @statem,
    GenStateMachine => @statem,
    :gen_event => @event,
    Supervisor => @supervisor,
    DynamicSupervisor => @supervisor,
    :supervisor => @supervisor,
    :supervisor2 => @supervisor,
    :mirrored_supervisor => @supervisor,
    Application => @application,
    :application => @application,
    Phoenix.LiveView => @live_view,
    Phoenix.LiveComponent => @live_component,
    Phoenix.Channel => @channel
  }

  # What has a callback called that takes up no message of the process as it came: the indices of the arguments that say it.
  @triggers %{
    {:handle_continue, 2} => [0],
    {:handle_demand, 2} => [0],
    {:handle_events, 3} => [0],
    {:handle_params, 3} => [0],
    {:handle_event, 3} => [0, 1],
    {:handle_async, 3} => [0, 1],
    {:handle_in, 3} => [0, 1],
    {:handle_out, 3} => [0, 1]
  }

  @type t :: %{
          behaviour: module,
          receives: {:call | :cast | :send, non_neg_integer, non_neg_integer | nil} | nil,
          trigger: [non_neg_integer],
          shape: atom | nil,
          state: non_neg_integer | {non_neg_integer, non_neg_integer} | {:name, non_neg_integer} | nil
        }

  @doc "The behaviours that a module's attributes name, in their order."
  @spec behaviours(keyword) :: [module]
  def behaviours(attributes) do
    for {key, value} when key in [:behaviour, :behavior] <- attributes,
        behaviour <- List.wrap(value),
        do: behaviour
  end

  @doc "What is known of a function of a module with these behaviours, or nil if it is none of their callbacks."
  @spec find([module], atom, arity, boolean) :: t | nil
  def find(behaviours, function, arity, exported?) do
    Enum.find_value(behaviours, &known(&1, function, arity)) ||
      state_function(behaviours, function, arity, exported?)
  end

  defp known(behaviour, function, arity) do
    case @behaviours[behaviour][{function, arity}] do
      nil ->
        nil

      {receives, shape, state} ->
        known(behaviour, receives, trigger(receives, {function, arity}), {shape, state})
    end
  end

  defp known(behaviour, receives, trigger, {shape, state}),
    do: %{behaviour: behaviour, receives: receives, trigger: trigger, shape: shape, state: state}

  defp trigger({_via, message, _sender}, _function), do: [message]
  defp trigger(nil, function), do: Map.get(@triggers, function, [])

  # With callback mode `state_functions` each state is an exported function of three arguments; whether it is one of them shows
  # in what it answers.
  defp state_function(behaviours, _function, 3, true) do
    case Enum.find(behaviours, &(@behaviours[&1] == @statem)) do
      nil -> nil
      behaviour -> known(behaviour, {:send, 1, nil}, [1], {:statem, {:name, 2}})
    end
  end

  defp state_function(_behaviours, _function, _arity, _exported?), do: nil
end
