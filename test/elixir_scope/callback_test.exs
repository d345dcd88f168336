defmodule ElixirScope.CallbackTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.{Native, Redacted, Site, Truncated}
  alias ElixirScope.Test.{Answering, Generate}
  alias ElixirScope.Test.Answering.{Handler, Machine, Server}

  # What a callback answers, the state that it leaves (:none if that is the one it had), and what else its answer says.
  @server [
    {{:noreply, :new}, :new, nil},
    {{:noreply, :same}, :none, nil},
    {{:noreply, :new, 60_000}, :new, [timeout: 60_000]},
    {{:noreply, :new, 0}, :new, [timeout: 0]},
    {{:noreply, :same, :infinity}, :none, [timeout: :infinity]},
    {{:noreply, :new, :hibernate}, :new, [hibernate: true]},
    {{:noreply, :same, {:continue, {:go, 1}}}, :none, [continue_data: {:go, 1}]},
    {{:stop, :normal, :new}, :new, nil},
    {{:stop, :normal, :same}, :none, nil}
  ]

  @call [
    {{:reply, :yes, :new}, :new, [reply: :yes]},
    {{:reply, nil, :same}, :none, [reply: nil]},
    {{:reply, %{a: 1}, :new, 60_000}, :new, [reply: %{a: 1}, timeout: 60_000]},
    {{:reply, :yes, :same, :hibernate}, :none, [reply: :yes, hibernate: true]},
    {{:reply, :yes, :new, {:continue, [1]}}, :new, [reply: :yes, continue_data: [1]]},
    {{:stop, :normal, :bye, :new}, :new, [reply: :bye]},
    {{:stop, :normal, :bye, :same}, :none, [reply: :bye]}
  ]

  @init [
    {{:ok, :new}, :new, nil},
    {{:ok, nil}, nil, nil},
    {{:ok, :new, :hibernate}, :new, [hibernate: true]},
    {{:ok, :new, 60_000}, :new, [timeout: 60_000]},
    {{:ok, :new, {:continue, :load}}, :new, [continue_data: :load]},
    {:ignore, :none, nil},
    {{:stop, :normal}, :none, nil}
  ]

  @machine [
    {{:next_state, :open, :new}, {:open, :new}, nil},
    {{:next_state, :open, :same}, {:open, %{data: 1}}, nil},
    {{:next_state, :same_name, :same}, :none, nil},
    {{:next_state, :open, :new, [{:state_timeout, 60_000, :timed}, :hibernate]}, {:open, :new},
     [timeout: 60_000, hibernate: true]},
    {{:next_state, :open, :new, {:timeout, :infinity, :timed}}, {:open, :new}, [timeout: :infinity]},
    {{:keep_state, :new}, {:closed, :new}, nil},
    {{:keep_state, :same}, :none, nil},
    {{:keep_state, :new, 60_000}, {:closed, :new}, [timeout: 60_000]},
    {{:keep_state, :same, [{{:timeout, :name}, 60_000, :timed}]}, :none, [timeout: 60_000]},
    {:keep_state_and_data, :none, nil},
    {{:keep_state_and_data, [{:hibernate, true}]}, :none, [hibernate: true]},
    {{:keep_state_and_data, [{:hibernate, false}, {:next_event, :cast, :next}]}, :none, nil},
    {{:repeat_state, :new}, {:closed, :new}, nil},
    {{:repeat_state, :new, []}, {:closed, :new}, nil},
    {:repeat_state_and_data, :none, nil},
    {{:repeat_state_and_data, [:hibernate]}, :none, [hibernate: true]},
    {:stop, :none, nil},
    {{:stop, :normal}, :none, nil},
    {{:stop, :normal, :new}, {:closed, :new}, nil}
  ]

  @machine_call [
    {{:keep_state_and_data, {:reply, :from, :yes}}, :none, [reply: :yes]},
    {{:keep_state, :new, [{:reply, :from, 1}]}, {:closed, :new}, [reply: 1]},
    {{:next_state, :open, :new, [:hibernate, {:reply, :from, nil}]}, {:open, :new},
     [reply: nil, hibernate: true]},
    {{:stop_and_reply, :normal, {:reply, :from, :bye}}, :none, [reply: :bye]},
    {{:stop_and_reply, :normal, [{:reply, :from, :bye}], :new}, {:closed, :new}, [reply: :bye]}
  ]

  @machine_init [
    {{:ok, :closed, :data}, {:closed, :data}, nil},
    {{:ok, :closed, :data, [{:state_timeout, 60_000, :timed}]}, {:closed, :data}, [timeout: 60_000]},
    {:ignore, :none, nil}
  ]

  @handler [
    {{:ok, :new}, :new, nil},
    {{:ok, :same}, :none, nil},
    {{:ok, :new, :hibernate}, :new, [hibernate: true]},
    {:remove_handler, :none, nil},
    {{:swap_handler, :args, :new, Handler, :swapped}, :new, nil}
  ]

  @handler_call [
    {{:ok, :yes, :new}, :new, [reply: :yes]},
    {{:ok, :yes, :same}, :none, [reply: :yes]},
    {{:ok, :yes, :new, :hibernate}, :new, [reply: :yes, hibernate: true]},
    {{:remove_handler, :bye}, :none, [reply: :bye]},
    {{:swap_handler, :yes, :args, :new, Handler, :swapped}, :new, [reply: :yes]}
  ]

  # Nobody here has Phoenix: these are the results that it documents.
  @socket [
    {:mount, {:ok, :new}, :new, nil},
    {:mount, {:ok, :new, temporary_assigns: [a: 1]}, :new, nil},
    {:mount, {:ok, :same}, :none, nil},
    {:join, {:ok, :new}, :new, nil},
    {:join, {:ok, %{welcome: 1}, :new}, :new, [reply: %{welcome: 1}]},
    {:join, {:error, %{reason: 1}}, :none, nil},
    {:handle_event, {:noreply, :new}, :new, nil},
    {:handle_event, {:reply, %{ok: 1}, :new}, :new, [reply: %{ok: 1}]},
    {:handle_in, {:reply, :ok, :new}, :new, [reply: :ok]},
    {:handle_in, {:noreply, :same, :hibernate}, :none, [hibernate: true]},
    {:handle_in, {:stop, :shutdown, :new}, :new, nil},
    {:handle_in, {:stop, :shutdown, {:ok, 1}, :new}, :new, [reply: {:ok, 1}]}
  ]

  @old %{data: 1}

  for path <- [:auto, false] do
    describe "the end of a callback, with terms read by #{if path, do: "words", else: "the NIF interface"}," do
      @describetag recorder: [capture: [raw_terms: path]]

      test "tells the state and the reply of a GenServer" do
        for {answer, state, reply} <- @init do
          {:init, events} = of(Server, fn -> GenServer.start(Server, answer) end)
          check(events, answer, state, reply, nil)
        end

        for {answer, state, reply} <- @server, way <- [:handle_cast, :handle_info, :handle_call] do
          {:ok, pid} = GenServer.start(Server, {:ok, @old})

          {^way, events} =
            of(Server, fn ->
              case way do
                :handle_cast -> GenServer.cast(pid, answer)
                :handle_info -> send(pid, answer)
                :handle_call -> spawn(fn -> GenServer.call(pid, answer) end)
              end
            end)

          check(events, answer, state, reply, answer)
        end

        for {answer, state, reply} <- @call do
          {:ok, pid} = GenServer.start(Server, {:ok, @old})
          {:handle_call, events} = of(Server, fn -> GenServer.call(pid, answer) end)
          check(events, answer, state, reply, answer)
        end
      end

      test "tells the state that newer code brings along" do
        {:ok, pid} = GenServer.start(Server, {:ok, @old})

        for {answer, state} <- [{{:ok, :same}, :none}, {{:ok, :new}, :new}] do
          :sys.suspend(pid)
          {:code_change, events} = of(Server, fn -> :sys.change_code(pid, Server, nil, answer) end)
          :sys.resume(pid)
          check(events, answer, state, nil, nil)
        end
      end

      test "tells the name and the data of a gen_statem" do
        for {answer, state, reply} <- @machine_init do
          {:init, events} = of(Machine, fn -> :gen_statem.start(Machine, answer, []) end)
          check(events, answer, state, reply, nil)
        end

        for {answer, state, reply} <- @machine do
          {:ok, pid} = :gen_statem.start(Machine, {:ok, :closed, @old}, [])
          {:handle_event, events} = of(Machine, fn -> :gen_statem.cast(pid, {:answer, answer}) end)
          check(events, answer, state, reply, {:answer, answer})
        end

        for {answer, state, reply} <- @machine_call do
          {:ok, pid} = :gen_statem.start(Machine, {:ok, :closed, @old}, [])
          {:handle_event, events} = of(Machine, fn -> :gen_statem.call(pid, {:answer, answer}) end)
          check(events, answer, state, reply, {:answer, answer})
        end
      end

      test "tells the state and the reply of a gen_event handler" do
        {:ok, manager} = :gen_event.start()

        for {answer, state, reply} <- [
              {{:ok, :new}, :new, nil},
              {{:ok, :new, :hibernate}, :new, [hibernate: true]}
            ] do
          {:init, events} =
            of(Handler, fn -> :gen_event.add_handler(manager, {Handler, make_ref()}, answer) end)

          check(events, answer, state, reply, nil)
        end

        for {answer, state, reply} <- @handler do
          {:ok, manager} = :gen_event.start()
          :ok = :gen_event.add_handler(manager, Handler, {:ok, @old})
          {:handle_event, events} = of(Handler, fn -> :gen_event.notify(manager, {:answer, answer}) end)
          check(events, answer, state, reply, answer)
        end

        for {answer, state, reply} <- @handler_call do
          {:ok, manager} = :gen_event.start()
          :ok = :gen_event.add_handler(manager, Handler, {:ok, @old})
          {:handle_call, events} = of(Handler, fn -> :gen_event.call(manager, Handler, {:answer, answer}) end)
          check(events, answer, state, reply, answer)
        end
      end

      test "tells the socket of channels and live views" do
        # Not a literal, of which there might be two.
        old = Map.new(@old)

        for {callback, answer, state, reply} <- @socket do
          site = Answering.site(Socket, callback, 3, Phoenix.Channel, nil, :socket)
          answered = Answering.fill(answer, same: old)
          {^callback, events} = of(Socket, fn -> Answering.record(site, [], old, :trigger, answered) end)
          check(events, answer, state, reply, :trigger)
        end
      end

      test "says nothing of a state where the answer has another form" do
        for shape <- [nil, :no_shape, :init, :server, :code_change, :statem, :event, :socket],
            answer <- [
              :ok,
              {},
              {:ok},
              {:reply},
              {:error, 1},
              {:noreply, 1, 2, 3, 4, 5},
              [],
              [:ok | 1],
              %{},
              "ok"
            ] do
          site = Answering.site(Odd, :callback, 1, nil, nil, shape)
          {:callback, events} = of(Odd, fn -> Answering.record(site, [], @old, nil, answer) end)
          assert [%{event_type: :function_entry}, %{event_type: :function_exit, result: ^answer}] = events
        end
      end

      @tag recorder: [sampling_rate: 0.0, capture: [raw_terms: path]]
      test "tells a new state of a call that is not sampled, and nothing else" do
        {:ok, pid} = GenServer.start(Server, {:ok, @old})
        :yes = GenServer.call(pid, {:reply, :yes, :new})
        :yes = GenServer.call(pid, {:reply, :yes, :same})
        GenServer.cast(pid, {:stop, :normal, :last})
        until_dead(pid)

        assert [%Events.StateChange{} = first, %{}, %{}] = events = all_events(pid: pid)
        assert Enum.map(events, & &1.event_type) == List.duplicate(:state_change, 3)
        assert Enum.map(events, & &1.new_state) == [@old, :new, :last]
        assert Enum.map(events, & &1.callback) == [:init, :handle_call, :handle_cast]
        assert {first.module, first.call_id, first.parent_id} == {Server, nil, nil}
      end

      test "keeps a state within its own budget, masked" do
        state = %{list: Enum.to_list(1..2_000), password: "hunter2"}
        {:init, [entry, change, exit]} = of(Server, fn -> GenServer.start(Server, {:ok, state}) end)
        assert change.new_state == %{state | password: %Redacted{}}
        assert change.quality == :unverified
        assert length(hd(entry.args) |> elem(1) |> Map.fetch!(:list)) < 2_000
        assert byte_size(:erlang.term_to_binary(exit.result)) < 8_192
      end

      @tag recorder: [capture: [raw_terms: path, max_state_bytes: 512, max_payload_bytes: 100_000]]
      test "says where a state is not whole" do
        {:init, [_entry, change, _exit]} =
          of(Server, fn -> GenServer.start(Server, {:ok, Enum.to_list(1..2_000)}) end)

        assert %Truncated{kind: :list} = List.last(change.new_state)
        assert change.quality == :approximate

        {:init, [_entry, change, _exit]} = of(Server, fn -> GenServer.start(Server, {:ok, [1, 2, 3]}) end)
        assert {change.new_state, change.quality} == {[1, 2, 3], :unverified}

        :ok = ElixirScope.update_config([:capture, :max_state_bytes], 100_000)

        {:init, [_entry, change, _exit]} =
          of(Server, fn -> GenServer.start(Server, {:ok, Enum.to_list(1..2_000)}) end)

        assert {change.new_state, change.quality} == {Enum.to_list(1..2_000), :unverified}
      end

      @tag recorder: [capture: [raw_terms: path, max_depth: 3]]
      test "says where a state is too deep, or a machine's data are" do
        {:init, [_entry, change, _exit]} = of(Server, fn -> GenServer.start(Server, {:ok, [[[[1]]]]}) end)
        assert {change.new_state, change.quality} == {[[[%Truncated{kind: :depth, kept: 0}]]], :approximate}

        {:init, [_entry, change, _exit]} =
          of(Machine, fn -> :gen_statem.start(Machine, {:ok, :open, [[[[1]]]]}, []) end)

        assert {:open, [[[%Truncated{}]]]} = change.new_state
        assert change.quality == :approximate
      end

      test "says that a fun's environment was not seen where it was not" do
        salt = self()
        fun = fn -> salt end
        {:init, [_entry, change, _exit]} = of(Server, fn -> GenServer.start(Server, {:ok, fun}) end)
        whole = Native.term_decode(Native.term_encode(fun, %{whole: true})) == fun
        assert change.quality == if(whole, do: :unverified, else: :approximate)
      end
    end

    describe "a loop, with terms read by #{if path, do: "words", else: "the NIF interface"}," do
      @describetag recorder: [capture: [raw_terms: path]]

      test "tells its state at each round" do
        loop = fn -> loop(3) end
        pid = spawn(loop)
        until_dead(pid)
        events = all_events(pid: pid)

        assert [:function_entry, :state_change, :function_exit | _] = Enum.map(events, & &1.event_type)
        changes = Enum.filter(events, &(&1.event_type == :state_change))
        assert Enum.map(changes, & &1.new_state) == [%{left: 3}, %{left: 2}, %{left: 1}, %{left: 0}]

        for %{callback: :loop, module: __MODULE__, trigger_message: nil} = change <- changes do
          assert change.call_id == change.parent_id
          assert %{event_type: :function_entry} = Enum.find(events, &(&1.id == change.call_id))
        end
      end

      @tag recorder: [sampling_rate: 0.0, capture: [raw_terms: path]]
      test "tells it where its calls are not sampled" do
        pid = spawn(fn -> loop(1) end)
        until_dead(pid)
        assert [%{new_state: %{left: 1}}, %{new_state: %{left: 0}}] = all_events(pid: pid)
      end
    end
  end

  describe "the end of a call" do
    @site Site.new({__MODULE__, :quiet, 1, "test/callback_test.exs", 7, 1, [:it], :chosen})

    test "leaves out a result that is not to be recorded" do
      token = Native.enter_1(@site, :it)
      Native.exit_void(@site, token)

      assert [entry, %Events.FunctionExit{exit_reason: :normal, result: nil} = exit] = all_events(pid: self())
      assert exit.call_id == entry.id
      assert exit.duration_ns >= 0
    end

    test "is nothing after a token of nothing" do
      site = Answering.site(Server, :handle_call, 3, GenServer, {:call, 0, 1}, :server)

      for token <- [-1, -131_073, nil, :token, 1.5, Bitwise.bsl(1, 70)] do
        Native.exit(site, token, :result)
        Native.exit_void(site, token)
        Native.exit_tail(site, token)
        Native.exit_error(site, token, :error, :reason, [])
        Native.exit_callback(site, token, {:reply, 1, 2}, :old, nil)
        Native.loop_state(site, token, :state)
        Native.span_stop(site, token, :name, :normal)
      end

      assert all_events() == []
    end

    test "is nothing after the recorder was started anew" do
      token = Native.enter_1(@site, :it)
      :ok = ElixirScope.stop()
      :ok = ElixirScope.start()
      site = Answering.site(Server, :handle_call, 3, GenServer, {:call, 0, 1}, :server)
      Native.exit_callback(site, token, {:reply, 1, 2}, :old, nil)
      Native.loop_state(site, token, :state)
      Native.exit_void(@site, token)
      assert all_events() == []
    end

    test "tells the behaviour of a callback, which conditions find" do
      {:ok, pid} = GenServer.start(Server, {:ok, @old})
      :yes = GenServer.call(pid, {:reply, :yes, :new})
      Native.exit_void(@site, Native.enter_1(@site, :it))

      assert [GenServer, GenServer, GenServer, GenServer] =
               for(
                 event <- ElixirScope.get_events(where: [{[:behaviour], :==, GenServer}]),
                 do: event.behaviour
               )

      assert [%{behaviour: nil, function: :quiet}, %{behaviour: nil}] =
               ElixirScope.get_events(pid: self(), where: [{[:behaviour], :==, nil}])

      assert ElixirScope.get_events(event_type: :state_change, where: [{[:behaviour], :exists, true}]) == []
    end
  end

  describe "whatever the terms are, a callback that ends" do
    for path <- [:auto, false] do
      @tag recorder: [capture: [raw_terms: path]]
      test "does not fail, and is recorded, with raw_terms: #{path}" do
        Generate.seed()

        for _ <- 1..500 do
          shape = Enum.random([:init, :server, :code_change, :statem, :event, :socket, Generate.term(1)])
          name = Enum.random([:init, :join, :handle_call, nil])
          site = Answering.site(Odd, name, 3, GenServer, nil, shape)

          tag =
            Enum.random([
              :ok,
              :reply,
              :noreply,
              :stop,
              :next_state,
              :keep_state,
              :stop_and_reply,
              :swap_handler
            ])

          rest = for _ <- 1..Enum.random(1..5), do: Generate.term(2)
          actions = [:hibernate, {:reply, Generate.term(1), Generate.term(1)} | Generate.term(1)]

          result =
            Enum.random([
              List.to_tuple([tag | rest]),
              List.to_tuple([tag | rest] ++ [actions]),
              Generate.term()
            ])

          token = Native.enter_1(site, result)
          assert Native.exit_callback(site, token, result, Generate.term(), Generate.term()) == :ok
          token = Native.enter_1(site, result)
          assert Native.loop_state(site, token, Generate.term()) == :ok
          assert Native.exit_void(site, token) == :ok
        end

        assert ElixirScope.count_events(event_type: :function_exit) == 1_000
        # no state is expected of a place that is said to hold none
        assert ElixirScope.count_events(event_type: :state_change) >= 300
        assert ElixirScope.get_events(limit: :infinity) |> Enum.all?(&Events.event?/1)
        assert ElixirScope.status().faults.panics == 0
      end
    end
  end

  # The name of the callback that `run` leads to, and what it recorded.
  defp of(module, run) do
    last = List.last([%{id: 0} | ElixirScope.get_events(limit: 1)]).id
    run.()

    events =
      until(
        fn ->
          events = ElixirScope.get_events(module: module, after: last, limit: :infinity)
          if match?(%{event_type: :function_exit}, List.last(events)), do: events
        end,
        "the end of a callback"
      )

    {hd(events).function, events}
  end

  defp check(events, answer, state, reply, trigger) do
    kinds = [:function_entry, state != :none && :state_change, reply && :callback_reply, :function_exit]
    assert Enum.map(events, & &1.event_type) == Enum.filter(kinds, & &1), inspect(answer)
    [entry | inside] = events
    callback = entry.function

    for event <- inside, do: assert(event.call_id == entry.id)

    for %{event_type: :state_change} = change <- inside do
      assert %{callback: ^callback, old_state: nil, state_diff: nil, quality: :unverified} = change
      assert {change.new_state, change.trigger_message, change.parent_id} == {state, trigger, entry.id}
      assert change.module == entry.module
    end

    for %{event_type: :callback_reply} = event <- inside do
      defaults = [reply: nil, timeout: nil, hibernate: false, continue_data: nil]

      assert Map.take(event, Keyword.keys(defaults)) == Map.new(Keyword.merge(defaults, reply)),
             inspect(answer)

      assert {event.callback, event.parent_id} == {callback, entry.id}
    end

    exit = List.last(inside)
    assert exit.exit_reason == :normal
    assert exit.correlation_id == entry.correlation_id
  end

  @loop Site.new({__MODULE__, :loop, 1, "test/callback_test.exs", 3, 1, [:left], :loop})

  defp loop(left) do
    token = Native.enter_1(@loop, left)
    Native.loop_state(@loop, token, %{left: left})
    Native.exit_tail(@loop, token)
    if left > 0, do: loop(left - 1)
  end
end
