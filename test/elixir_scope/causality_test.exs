defmodule ElixirScope.CausalityTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.{Native, Site}

  # Processes recorded as instrumentation does it: a message is told of before it is sent, a birth once it is known.

  @mark Site.new({__MODULE__, nil, 0, "test/causality_test.exs", 1, 0, [], :mark})

  def site(function, arity, role \\ :public, clause \\ 1),
    do: Site.new({__MODULE__, function, arity, "test/causality_test.exs", 1, clause, [], role})

  @doc "Runs a function as a recorded call."
  def recorded(site, args, fun) do
    token = Native.enter_n(site, args)
    result = fun.()
    Native.exit(site, token, result)
    result
  end

  @doc "A recorded outermost call without arguments, and its causal root."
  def outermost(fun) do
    recorded(site(:outermost, 0), [], fun)
    entry = [function: :outermost, event_type: :function_entry, pid: self()] |> all_events() |> List.last()
    entry.correlation_id
  end

  def send_it(to, message) do
    Native.message(@mark, :send, to, message)
    send(to, message)
  end

  def cast(to, message) do
    Native.message(@mark, :cast, to, message)
    GenServer.cast(to, message)
  end

  def call(to, message, timeout \\ 5_000) do
    Native.message(@mark, :call, to, message)
    GenServer.call(to, message, timeout)
  end

  def spawned(result) do
    Native.spawned(@mark, result)
    result
  end

  defmodule Server do
    @moduledoc false
    use GenServer

    alias ElixirScope.CausalityTest, as: Test

    @impl true
    def init(state) do
      Test.recorded(Test.site(:init, 1, {:callback, GenServer, nil, nil}), [state], fn -> {:ok, state} end)
    end

    @impl true
    def handle_call(message, from, state) do
      site = Test.site(:handle_call, 3, {:callback, GenServer, {:call, 0, 1}, nil})
      Test.recorded(site, [message, from, state], fn -> {:reply, handle(message, state), state} end)
    end

    @impl true
    def handle_cast(message, state) do
      site = Test.site(:handle_cast, 2, {:callback, GenServer, {:cast, 0, nil}, nil})
      Test.recorded(site, [message, state], fn -> handle(message, state) end)
      {:noreply, state}
    end

    @impl true
    def handle_info(message, state) do
      site = Test.site(:handle_info, 2, {:callback, GenServer, {:send, 0, nil}, nil})
      Test.recorded(site, [message, state], fn -> handle(message, state) end)
      {:noreply, state}
    end

    # The rest of the way is in the message.
    defp handle({:pass, [{:call, next} | way], last}, _state), do: Test.call(next, {:pass, way, last})
    defp handle({:pass, [{:cast, next} | way], last}, _state), do: Test.cast(next, {:pass, way, last})
    defp handle({:pass, [{:send, next} | way], last}, _state), do: Test.send_it(next, {:pass, way, last})

    defp handle({:pass, [:task | way], last}, state) do
      fn -> Test.recorded(Test.site(:task, 0), [], fn -> handle({:pass, way, last}, state) end) end
      |> Task.async()
      |> Test.spawned()
      |> Task.await()
    end

    defp handle({:pass, [], last}, _state), do: send(last, :arrived)
    defp handle(message, test), do: send(test, {:handled, message})
  end

  defp server do
    {:ok, server} = GenServer.start_link(Server, self())
    server
  end

  # The entries of a process, once there are so many.
  defp entries(pid, count, opts \\ []) do
    opts = [pid: pid, event_type: :function_entry] ++ opts
    until(fn -> ElixirScope.count_events(opts) >= count end, "#{count} entries")
    entries = all_events(opts)
    assert length(entries) == count
    entries
  end

  defp roots(entries), do: Enum.map(entries, & &1.correlation_id)

  describe "one request" do
    test "through three servers and a task shows up by its one causal root" do
      [a, b, c] = servers = for _ <- 1..3, do: server()

      for way <- [
            [{:call, b}, {:call, c}, :task],
            [{:cast, b}, {:send, c}, :task],
            [:task, {:send, b}, {:call, c}]
          ],
          first <- [&call/2, &cast/2, &send_it/2] do
        before = ElixirScope.count_events()
        root = outermost(fn -> first.(a, {:pass, way, self()}) end)
        assert_receive :arrived

        # The three servers' callbacks, the task's function and the request itself.
        until(
          fn -> ElixirScope.count_events(correlation_id: root, event_type: :function_exit) == 5 end,
          "the ends of all calls"
        )

        events = all_events(correlation_id: root)
        assert Enum.all?(events, &(&1.correlation_id == root))
        processes = events |> Enum.map(& &1.pid) |> Enum.uniq()
        assert length(processes) == 5 and [self() | servers] -- processes == []
        # Nothing of it goes back to anything else.
        assert ElixirScope.count_events() - before == length(events)
      end
    end

    test "goes back to the one that its own caller made, whoever else is on the way" do
      server = server()

      roots =
        1..40
        |> Task.async_stream(fn number ->
          {number, outermost(fn -> for _ <- 1..5, do: call(server, {:number, number}) end)}
        end)
        |> Map.new(fn {:ok, root} -> root end)

      for %{args: [{:number, number} | _]} = entry <- entries(server, 200, function: :handle_call),
          do: assert(entry.correlation_id == roots[number])
    end
  end

  describe "equal messages" do
    test "from two roots are ambiguous, and from one they are not" do
      server = server()
      :sys.suspend(server)

      one =
        outermost(fn ->
          for _ <- 1..2, do: cast(server, :both)
          cast(server, :one)
        end)

      two =
        outermost(fn ->
          cast(server, :both)
          send_it(server, :one)
        end)

      :sys.resume(server)
      of = &entries(server, &2, where: [{[:args, 0], :==, &1}])
      assert roots(of.(:both, 3)) == [:ambiguous, :ambiguous, :ambiguous]
      # A cast and a plain message are not equal.
      assert roots(of.(:one, 2)) == [one, two]

      until(fn -> ElixirScope.count_events(correlation_id: :ambiguous) == 6 end, "entries and exits")
      assert ElixirScope.count_events(where: [{[:correlation_id], :==, :ambiguous}]) == 6
      assert [correlation_id: :ambiguous] |> all_events() |> roots() |> Enum.uniq() == [:ambiguous]

      # With all of them handled there is one sender again.
      three = outermost(fn -> cast(server, :both) end)
      assert of.(:both, 4) |> roots() |> List.last() == three
    end

    test "of a caller that gave up and called again are ambiguous" do
      server = server()
      :sys.suspend(server)
      outermost(fn -> catch_exit(call(server, :same, 50)) end)

      spawn_link(fn ->
        until(fn -> ElixirScope.count_events(event_type: :message_send) == 2 end, "the second request")
        :sys.resume(server)
      end)

      outermost(fn -> call(server, :same) end)
      assert roots(entries(server, 3)) |> tl() == [:ambiguous, :ambiguous]

      again = outermost(fn -> call(server, :same) end)
      assert server |> entries(4) |> roots() |> List.last() == again
    end

    test "that were masked or cut pair with none" do
      server = server()

      for {message, count} <- [{%{password: "hunter2"}, 2}, {Enum.to_list(1..5_000), 3}] do
        root = outermost(fn -> cast(server, message) end)
        entry = server |> entries(count) |> List.last()
        assert entry.function == :handle_cast and entry.correlation_id not in [root, nil, :ambiguous]
      end
    end

    test "to a name find the process that has it" do
      server = server()
      Process.register(server, :server_of_the_test)
      :yes = :global.register_name(:global_server_of_the_test, server)

      for {to, count} <- [{:server_of_the_test, 2}, {{:global, :global_server_of_the_test}, 3}] do
        root = outermost(fn -> call(to, :hello) end)
        assert server |> entries(count) |> roots() |> List.last() == root
      end
    end
  end

  defmodule Machine do
    @moduledoc false
    @behaviour :gen_statem

    alias ElixirScope.CausalityTest, as: Test

    @impl true
    def callback_mode, do: :handle_event_function

    @impl true
    def init(_), do: {:ok, :here, nil}

    @impl true
    def handle_event(type, content, name, data) do
      site = Test.site(:handle_event, 4, {:callback, :gen_statem, {:send, 1, nil}, nil})

      Test.recorded(site, [type, content, name, data], fn ->
        with {:call, from} <- type, do: :gen_statem.reply(from, :ok)

        if type == :internal,
          do: :keep_state_and_data,
          else: {:keep_state_and_data, {:next_event, :internal, content}}
      end)
    end
  end

  test "a state machine is told how each event came, and what it tells itself is no message" do
    {:ok, machine} = :gen_statem.start_link(Machine, nil, [])

    roots =
      for {type, fun} <- [call: &:gen_statem.call/2, cast: &:gen_statem.cast/2, send: &send/2] do
        outermost(fn ->
          Native.message(@mark, type, machine, :hello)
          fun.(machine, :hello)
        end)
      end

    {inside, handled} = machine |> entries(6) |> Enum.split_with(&(hd(&1.args) == :internal))
    assert roots(handled) == roots
    assert length(inside) == 3 and Enum.all?(roots(inside), &(&1 not in roots))
  end

  describe "a spawned process" do
    test "goes back to its parent's root, though it records before its birth is told" do
      server = server()
      test = self()

      early = fn ->
        recorded(site(:early, 0), [], fn -> call(server, :from_the_child) end)
        send(test, :early)
        receive do: (:go -> :ok)
        recorded(site(:late, 0), [], fn -> send(test, :late) end)
      end

      root =
        outermost(fn ->
          child = spawn_link(early)
          assert_receive :early
          # As it was stored, before its birth was told.
          [entry] = all_events(pid: child, event_type: :function_entry)
          send(test, {:own, entry.correlation_id})
          spawned(child)
          send(child, :go)
          assert_receive :late
        end)

      assert_receive {:own, own}
      assert own != root

      for asked <- [root, own] do
        events = all_events(correlation_id: asked, event_type: :function_entry)
        assert Enum.map(events, & &1.function) == [:outermost, :early, :handle_call, :late]
        assert roots(events) == [root, root, root, root]
      end
    end

    test "goes back to it until it handles a message" do
      test = self()

      root =
        outermost(fn ->
          {:ok, server} = spawned(GenServer.start_link(Server, test))
          send(test, {:server, server})
        end)

      assert_receive {:server, server}
      assert roots(entries(server, 1)) == [root]
      # From nobody who is recorded.
      send(server, :tick)
      assert [_, tick] = entries(server, 2)
      assert tick.function == :handle_info and tick.correlation_id not in [root, nil]
    end
  end

  describe "a tail call" do
    defp tail_site(function, callee), do: site(function, 1, {:tail, :public, {__MODULE__, callee, 1}})

    defp loop(0), do: recorded(site(:loop, 1), [0], fn -> :done end)

    defp loop(n) do
      token = Native.enter_1(site(:loop, 1), n)
      Native.exit_tail(tail_site(:loop, :loop), token)
      loop(n - 1)
    end

    test "shows the result and the duration of the end of its chain, which has one root" do
      assert loop(50) == :done
      events = all_events(pid: self())
      assert length(events) == 102
      exits = Enum.filter(events, &(&1.event_type == :function_exit))
      assert exits |> Enum.map(& &1.exit_reason) |> Enum.frequencies() == %{tail_call: 50, normal: 1}
      assert Enum.all?(exits, &(&1.result == :done))
      [last | others] = Enum.reverse(exits)

      for exit <- others do
        entry = Enum.find(events, &(&1.id == exit.call_id))
        assert exit.duration_ns == last.timestamp - entry.timestamp
      end

      assert events |> roots() |> Enum.uniq() |> length() == 1
    end

    test "of a function that is not recorded shows neither" do
      for callee <- [:elsewhere, :other] do
        token = Native.enter_1(site(:first, 1), 1)
        Native.exit_tail(tail_site(:first, callee), token)
        recorded(site(:other, 1), [1], fn -> callee end)
      end

      exits = all_events(pid: self(), function: :first, event_type: :function_exit)
      assert Enum.map(exits, &{&1.exit_reason, &1.result}) == [tail_call: nil, tail_call: :other]
      assert [nil, duration] = Enum.map(exits, & &1.duration_ns)
      assert duration > 0
    end

    test "shows neither where its callee was not recorded, and is called again" do
      gaps = [
        fn call ->
          :ok = ElixirScope.pause()
          call.()
          :ok = ElixirScope.resume()
        end,
        fn call ->
          :ok = Native.switch(%{strategy: nil, rules: [{{__MODULE__, :other, 1}, false}]})
          call.()
          :ok = Native.switch(%{strategy: nil, rules: []})
        end
      ]

      for gap <- gaps do
        other = fn -> recorded(site(:other, 1), [1], fn -> :other end) end
        token = Native.enter_1(site(:first, 1), 1)
        Native.exit_tail(tail_site(:first, :other), token)
        gap.(other)
        other.()
        exit = [pid: self(), function: :first, event_type: :function_exit] |> all_events() |> List.last()
        assert {exit.exit_reason, exit.result, exit.duration_ns} == {:tail_call, nil, nil}
      end
    end
  end
end
