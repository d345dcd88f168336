defmodule ElixirScope.Test.Answering do
  @moduledoc """
  Processes of OTP behaviours that answer each callback with what they are told, recorded as instrumentation will do it.

  In an answer `:same` stands for the state, or the part of it, that the process has.
  """

  alias ElixirScope.{Native, Site}

  @none :"$elixir_scope_none"

  @doc "The site of a callback."
  def site(module, function, arity, behaviour, receives, shape) do
    role = {:callback, behaviour, receives, shape}
    Site.new({module, function, arity, "test/support/answering.ex", 1, 1, [], role})
  end

  @doc "What a callback does."
  def record(site, args, old, trigger, answer) do
    token = enter(site, args)
    Native.exit_callback(site, token, answer, old, trigger)
    answer
  end

  @doc "Its beginning: by a function for so many arguments, which knows which of them is the state."
  def enter(site, args), do: apply(Native, :"enter_#{length(args)}", [site | args])

  @doc "The answer with what stands for the state replaced by it."
  def fill(answer, parts) when is_tuple(answer) do
    answer |> Tuple.to_list() |> Enum.map(&Keyword.get(parts, key(&1), &1)) |> List.to_tuple()
  end

  def fill(answer, _parts), do: answer

  defp key(part) when part in [:same, :same_name], do: part
  defp key(_part), do: :no_part

  @doc "The state that a first callback is called with: none."
  def none, do: @none

  defmodule Server do
    @moduledoc false
    use GenServer

    alias ElixirScope.Test.Answering

    @impl true
    def init(answer) do
      site = Answering.site(__MODULE__, :init, 1, GenServer, nil, :init)
      Answering.record(site, [answer], Answering.none(), nil, answer)
    end

    @impl true
    def handle_call(answer, from, state) do
      site = Answering.site(__MODULE__, :handle_call, 3, GenServer, {:call, 0, 1}, :server)
      Answering.record(site, [answer, from, state], state, answer, Answering.fill(answer, same: state))
    end

    @impl true
    def handle_cast(answer, state) do
      site = Answering.site(__MODULE__, :handle_cast, 2, GenServer, {:cast, 0, nil}, :server)
      Answering.record(site, [answer, state], state, answer, Answering.fill(answer, same: state))
    end

    @impl true
    def handle_info(:timeout, state), do: {:noreply, state}

    def handle_info(answer, state) do
      site = Answering.site(__MODULE__, :handle_info, 2, GenServer, {:send, 0, nil}, :server)
      Answering.record(site, [answer, state], state, answer, Answering.fill(answer, same: state))
    end

    @impl true
    def handle_continue(_data, state), do: {:noreply, state}

    @impl true
    def code_change(_old, state, answer) do
      site = Answering.site(__MODULE__, :code_change, 3, GenServer, nil, :code_change)
      Answering.record(site, [nil, state, answer], state, nil, Answering.fill(answer, same: state))
    end
  end

  defmodule Machine do
    @moduledoc false
    @behaviour :gen_statem

    alias ElixirScope.Test.Answering

    @impl true
    def callback_mode, do: :handle_event_function

    @impl true
    def init(answer) do
      site = Answering.site(__MODULE__, :init, 1, :gen_statem, nil, :statem)
      Answering.record(site, [answer], Answering.none(), nil, answer)
    end

    @impl true
    def handle_event(_type, content, _name, _data) when content in [:timed, :next], do: :keep_state_and_data

    def handle_event({:call, from}, {:answer, answer}, name, data),
      do: handle({:call, from}, {:answer, answer}, name, data, with_caller(answer, from))

    def handle_event(type, {:answer, answer}, name, data),
      do: handle(type, {:answer, answer}, name, data, answer)

    defp handle(type, content, name, data, answer) do
      site = Answering.site(__MODULE__, :handle_event, 4, :gen_statem, {:send, 1, nil}, :statem)
      answer = Answering.fill(answer, same: data, same_name: name)
      Answering.record(site, [type, content, name, data], {name, data}, content, answer)
    end

    def with_caller(answer, from) when is_tuple(answer),
      do: answer |> Tuple.to_list() |> Enum.map(&with_caller(&1, from)) |> List.to_tuple()

    def with_caller(answer, from) when is_list(answer), do: Enum.map(answer, &with_caller(&1, from))
    def with_caller(:from, from), do: from
    def with_caller(answer, _from), do: answer
  end

  defmodule Handler do
    @moduledoc false
    @behaviour :gen_event

    alias ElixirScope.Test.Answering

    @impl true
    def init({:swapped, _terminated}), do: {:ok, :swapped}

    def init(answer) do
      site = Answering.site(__MODULE__, :init, 1, :gen_event, nil, :init)
      Answering.record(site, [answer], Answering.none(), nil, answer)
    end

    @impl true
    def handle_event({:answer, answer}, state) do
      site = Answering.site(__MODULE__, :handle_event, 2, :gen_event, {:cast, 0, nil}, :event)
      Answering.record(site, [answer, state], state, answer, Answering.fill(answer, same: state))
    end

    @impl true
    def handle_call({:answer, answer}, state) do
      site = Answering.site(__MODULE__, :handle_call, 2, :gen_event, {:call, 0, nil}, :event)
      Answering.record(site, [answer, state], state, answer, Answering.fill(answer, same: state))
    end
  end
end
