defmodule ElixirScopeTest.Networks do
  @moduledoc """
  Networks of processes that log what they do, for tests to trace, to instrument, or both. Each function plays one, in the calling
  process, and answers when all that was sent is handled or lost.
  """

  alias ElixirScopeTest.NetworkLog, as: Log
  alias ElixirScopeTest.Networks.Member

  @doc "Items are cast along a line of stages; some of them are equal."
  def pipeline(log) do
    [first | rest] = stages = for _ <- 1..4, do: member(log)
    for n <- 1..40, do: cast(log, first, {:pass, rem(n, 3), rest})
    Enum.each(stages, &sync(log, &1))
    Log.write(log, :middle)
    for stage <- stages, do: GenServer.stop(stage)
    stages
  end

  @doc "A name goes round among processes, and is nobody's between, while others send to it."
  def moving_name(log) do
    members = for _ <- 1..3, do: member(log)
    me = self()

    senders =
      for sender <- 1..3 do
        spawn_link(fn ->
          Log.write(log, :born, %{parent: me})
          # The third one of each is equal to those of others.
          for n <- 1..150,
              do: cast(log, :moving_name, {:note, if(rem(n, 3) == 0, do: :same, else: {sender, n})})

          send(me, {:sent, self()})
        end)
      end

    for n <- 1..60, do: move(log, Enum.at(members, rem(n, 3)))
    for sender <- senders, do: receive(do: ({:sent, ^sender} -> :ok))
    Process.unregister(:moving_name)
    Enum.each(members, &sync(log, &1))
    Log.write(log, :middle)
    for member <- members, do: GenServer.stop(member)
    members
  end

  defp move(log, member) do
    if Process.whereis(:moving_name), do: Process.unregister(:moving_name)
    Process.register(member, :moving_name)
    Log.write(log, :named, %{name: :moving_name, who: member})
    :erlang.yield()
  end

  @doc "A name stays while its process crashes again and again, and is started anew by its supervisor."
  def restarts(log) do
    children = [%{id: :one, start: {Member, :start_link, [log, [name: :restarted]]}}]
    {:ok, supervisor} = Supervisor.start_link(children, strategy: :one_for_one, max_restarts: 100)
    Log.write(log, :parent, %{who: supervisor, parent: self()})

    for round <- 1..8 do
      now = Process.whereis(:restarted)
      Log.write(log, :parent, %{who: now, parent: supervisor})
      for n <- 1..10, do: cast(log, :restarted, {:note, {round, n}})
      ask(log, :restarted, {:ask, round})
      monitor = Process.monitor(now)
      cast(log, :restarted, {:crash, round})
      # These come too late, or at nobody.
      for n <- 1..3, do: cast(log, :restarted, {:note, {:late, round, n}})
      receive do: ({:DOWN, ^monitor, :process, ^now, {:crash, ^round}} -> :ok)
      await_name(:restarted, now)
    end

    last = Process.whereis(:restarted)
    Log.write(log, :parent, %{who: last, parent: supervisor})
    sync(log, last)
    Log.write(log, :middle)
    Supervisor.stop(supervisor)
    [supervisor]
  end

  defp await_name(name, before) do
    case Process.whereis(name) do
      now when is_pid(now) and now != before -> now
      _nobody_yet -> Process.sleep(1) && await_name(name, before)
    end
  end

  @doc "Names of a `Registry`, unique ones that are called and cast to, and a key that many have."
  def registry(log) do
    {:ok, _unique} = Registry.start_link(keys: :unique, name: __MODULE__.Unique)
    {:ok, _many} = Registry.start_link(keys: :duplicate, name: __MODULE__.Many)

    members =
      for n <- 1..3, do: member(log, name: {:via, Registry, {__MODULE__.Unique, n}}, also: [__MODULE__.Many])

    for n <- 1..30 do
      name = {:via, Registry, {__MODULE__.Unique, rem(n, 3) + 1}}
      cast(log, name, {:note, rem(n, 2)})
      ask(log, name, {:ask, rem(n, 2)})

      Registry.dispatch(__MODULE__.Many, :all, fn entries ->
        for {pid, _value} <- entries, do: post(log, pid, {:plain, rem(n, 2)})
      end)
    end

    Enum.each(members, &sync(log, &1))
    Log.write(log, :middle)
    for member <- members, do: GenServer.stop(member)
    members
  end

  @doc "A group of `:pg` whose members come and go while it is sent to."
  def groups(log) do
    {:ok, scope} = :pg.start_link(__MODULE__)
    members = for _ <- 1..4, do: member(log)

    for n <- 1..24 do
      member = Enum.at(members, rem(n, 4))

      if member in :pg.get_members(__MODULE__, :group),
        do: :pg.leave(__MODULE__, :group, member),
        else: :pg.join(__MODULE__, :group, member)

      for member <- :pg.get_members(__MODULE__, :group) do
        post(log, member, {:plain, rem(n, 2)})
        cast(log, member, {:note, rem(n, 2)})
      end
    end

    Enum.each(members, &sync(log, &1))
    Log.write(log, :middle)
    for process <- [scope | members], do: GenServer.stop(process)
    members
  end

  # -- What all of them do --------------------------------------------------------------------------------------------------

  defp member(log, opts \\ []) do
    {:ok, member} = Member.start_link(log, opts)
    Log.write(log, :parent, %{who: member, parent: self()})
    member
  end

  def cast(log, to, message) do
    from = Log.write(log, :sending)
    GenServer.cast(to, message)
    Log.write(log, :sent, %{sort: :cast, to: to, message: message, from: from})
  end

  def post(log, to, message) do
    from = Log.write(log, :sending)
    send(to, message)
    Log.write(log, :sent, %{sort: :send, to: to, message: message, from: from})
  end

  def ask(log, to, message) do
    from = Log.write(log, :sending)
    {:told, ^message} = GenServer.call(to, message)
    Log.write(log, :sent, %{sort: :call, to: to, message: message, from: from})
  end

  # All that was sent to it before is handled.
  defp sync(log, to), do: ask(log, to, {:ask, :sync})
end

defmodule ElixirScopeTest.Networks.Member do
  @moduledoc "A process of a network: says what it handles, and passes on what is to be passed on."

  use GenServer

  alias ElixirScopeTest.NetworkLog, as: Log
  alias ElixirScopeTest.Networks

  def start_link(log, opts \\ []) do
    {registries, opts} = Keyword.pop(opts, :also, [])
    GenServer.start_link(__MODULE__, {log, registries}, opts)
  end

  @impl true
  def init({log, registries}) do
    Log.write(log, :born)
    for registry <- registries, do: Registry.register(registry, :all, nil)
    {:ok, %{log: log, count: 0}}
  end

  @impl true
  def handle_cast({:pass, n, next} = message, state) do
    handled(:cast, message, state)

    case next do
      [next | rest] -> Networks.cast(state.log, next, {:pass, n, rest})
      [] -> :ok
    end

    done(state)
  end

  def handle_cast({:note, _n} = message, state) do
    handled(:cast, message, state)
    done(state)
  end

  def handle_cast({:crash, round} = message, state) do
    handled(:cast, message, state)
    exit({:crash, round})
  end

  @impl true
  def handle_call(message, {from, _tag}, state) do
    Log.write(state.log, :handled, %{sort: :call, message: message, from: from})
    {:reply, {:told, message}, %{state | count: state.count + 1}}
  end

  @impl true
  def handle_info(message, state) do
    handled(:send, message, state)
    done(state)
  end

  defp handled(sort, message, state),
    do: Log.write(state.log, :handled, %{sort: sort, message: message, from: nil})

  defp done(state) do
    Log.write(state.log, :done)
    {:noreply, %{state | count: state.count + 1}}
  end
end
