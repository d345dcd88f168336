defmodule ElixirScope.CallbackTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.{Native, Redacted, Site, Truncated}
  alias ElixirScope.Test.{Answering, Generate}
  alias ElixirScope.Test.Answering.{Handler, Machine, Server}
  alias ElixirScopeTest.Specimen

  # What a callback answers, the state that it changes to (:none where it does not), and what else its answer says.
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

  # A gen_server2 of RabbitMQ, which nobody here has.
  @server2 [
    {:handle_pre_hibernate, {:hibernate, :new}, :new, [hibernate: true]},
    {:handle_pre_hibernate, {:hibernate, :same}, :none, [hibernate: true]},
    {:handle_pre_hibernate, {:stop, :normal, :new}, :new, nil},
    {:handle_post_hibernate, {:noreply, :new}, :new, nil},
    {:handle_post_hibernate, {:noreply, :same, 60_000}, :none, [timeout: 60_000]},
    # another module's state from here on
    {:handle_call, {:become, Server, :new}, :none, nil}
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

  # Nor GenStage.
  @stage [
    {:handle_events, {:noreply, [], :new}, :new, nil},
    {:handle_events, {:noreply, [1, 2], :same}, :none, nil},
    {:handle_demand, {:noreply, [1], :new, :hibernate}, :new, [hibernate: true]},
    {:handle_call, {:reply, :yes, [1], :new}, :new, [reply: :yes]},
    {:handle_call, {:reply, :yes, [], :same, :hibernate}, :none, [reply: :yes, hibernate: true]},
    {:handle_subscribe, {:manual, :new}, :new, nil},
    {:handle_subscribe, {:automatic, :same}, :none, nil},
    {:handle_cancel, {:stop, :normal, :new}, :new, nil},
    {:handle_call, {:stop, :normal, :bye, :new}, :new, [reply: :bye]},
    {:started, {:producer, :new}, :new, nil},
    {:started, {:consumer, :new, subscribe_to: []}, :new, nil},
    {:started, {:producer_consumer, :new}, :new, nil}
  ]

  @old %{data: 1}
  @machine_old {:closed, @old}

  for path <- [:auto, false] do
    describe "the end of a callback, with terms read by #{if path, do: "words", else: "the NIF interface"}," do
      @describetag recorder: [capture: [raw_terms: path]]

      test "tells the state and the reply of a GenServer" do
        for {answer, state, reply} <- @init do
          {:init, events} = of(Server, fn -> GenServer.start(Server, answer) end)
          check(events, answer, first(state), reply, nil)
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

          check(events, filled(answer), change(@old, state), reply, answer)
          assert List.last(hd(events).args) == @old
        end

        for {answer, state, reply} <- @call do
          {:ok, pid} = GenServer.start(Server, {:ok, @old})
          {:handle_call, events} = of(Server, fn -> GenServer.call(pid, answer) end)
          check(events, filled(answer), change(@old, state), reply, answer)
          assert [^answer, {_caller, _tag}, @old] = hd(events).args
        end
      end

      test "tells the state that newer code brings along" do
        {:ok, pid} = GenServer.start(Server, {:ok, @old})

        for {answer, state} <- [{{:ok, :same}, :none}, {{:ok, :new}, :new}] do
          :sys.suspend(pid)
          {:code_change, events} = of(Server, fn -> :sys.change_code(pid, Server, nil, answer) end)
          :sys.resume(pid)
          check(events, filled(answer), change(@old, state), nil, nil)
          assert hd(events).args == [nil, @old, answer]
        end
      end

      test "tells the name and the data of a gen_statem" do
        for {answer, state, reply} <- @machine_init do
          {:init, events} = of(Machine, fn -> :gen_statem.start(Machine, answer, []) end)
          check(events, answer, first(state), reply, nil)
        end

        for {answer, state, reply} <- @machine do
          {:ok, pid} = :gen_statem.start(Machine, {:ok, :closed, @old}, [])
          {:handle_event, events} = of(Machine, fn -> :gen_statem.cast(pid, {:answer, answer}) end)
          check(events, filled(answer), change(@machine_old, state), reply, {:answer, answer})
          assert hd(events).args == [:cast, {:answer, answer}, :closed, @old]
        end

        for {answer, state, reply} <- @machine_call do
          {:ok, pid} = :gen_statem.start(Machine, {:ok, :closed, @old}, [])
          {:handle_event, events} = of(Machine, fn -> :gen_statem.call(pid, {:answer, answer}) end)
          assert [{:call, from}, {:answer, ^answer}, :closed, @old] = hd(events).args
          answered = answer |> Machine.with_caller(from) |> filled()
          check(events, answered, change(@machine_old, state), reply, {:answer, answer})
        end
      end

      test "tells the state and the reply of a gen_event handler" do
        {:ok, manager} = :gen_event.start()

        # The second one of a manager begins as the first one does.
        for {answer, state, reply} <- [
              {{:ok, :new}, :new, nil},
              {{:ok, :new, :hibernate}, :new, [hibernate: true]},
              {{:ok, :another}, :another, nil}
            ] do
          {:init, events} =
            of(Handler, fn -> :gen_event.add_handler(manager, {Handler, make_ref()}, answer) end)

          check(events, answer, first(state), reply, nil)
        end

        for {answer, state, reply} <- @handler do
          {:ok, manager} = :gen_event.start()
          :ok = :gen_event.add_handler(manager, Handler, {:ok, @old})
          {:handle_event, events} = of(Handler, fn -> :gen_event.notify(manager, {:answer, answer}) end)
          check(events, filled(answer), change(@old, state), reply, answer)
          assert hd(events).args == [answer, @old]
        end

        for {answer, state, reply} <- @handler_call do
          {:ok, manager} = :gen_event.start()
          :ok = :gen_event.add_handler(manager, Handler, {:ok, @old})
          {:handle_call, events} = of(Handler, fn -> :gen_event.call(manager, Handler, {:answer, answer}) end)
          check(events, filled(answer), change(@old, state), reply, answer)
          assert hd(events).args == [answer, @old]
        end
      end

      test "tells the socket of channels and live views" do
        for {callback, answer, state, reply} <- @socket do
          [_first, {events, old}] =
            in_one_process([{:handle_info, {:noreply, :same}}, {callback, answer}], fn {callback, answer},
                                                                                       old ->
              site = Answering.site(Socket, callback, 3, Phoenix.Channel, nil, :socket)
              Answering.record(site, [:params, :session, old], old, :trigger, filled(answer, old))
            end)

          check(events, filled(answer, old), change(@old, state), reply, :trigger)
          assert hd(events).args == [:params, :session, @old]
        end
      end

      test "tells the state of a gen_server2 on its way to sleep and back" do
        for {callback, answer, state, reply} <- @server2 do
          [_first, {events, old}] =
            in_one_process([{:handle_info, {:noreply, :same}}, {callback, answer}], fn {callback, answer},
                                                                                       old ->
              site = Answering.site(Server2, callback, 1, :gen_server2, nil, :server)
              Answering.record(site, [old], old, :trigger, filled(answer, old))
            end)

          check(events, filled(answer, old), change(@old, state), reply, :trigger)
          assert hd(events).args == [@old]
        end
      end

      test "tells the first state of a gen_server2, but not that of a module which goes on in its place" do
        backoff = {:backoff, 1_000, 1_000, 10_000}

        for {answer, state, reply} <- [
              {{:ok, :new, :hibernate, backoff}, :new, [hibernate: true]},
              {{:ok, :new, :hibernate, backoff, Server}, :none, nil}
            ] do
          site = Answering.site(Server2, :init, 1, :gen_server2, nil, :init)

          [{events, _old}] =
            in_one_process([answer], fn answer, _old ->
              Answering.record(site, [:args], Answering.none(), nil, answer)
            end)

          check(events, answer, first(state), reply, nil)
        end
      end

      test "tells the state and the reply of a stage" do
        for {callback, answer, state, reply} <- @stage do
          [_first, {events, old}] =
            in_one_process([{:handle_events, {:noreply, [], :same}}, {callback, answer}], fn {callback,
                                                                                              answer},
                                                                                             old ->
              site = Answering.site(Stage, callback, 3, GenStage, nil, :stage)
              Answering.record(site, [:events, :from, old], old, :trigger, filled(answer, old))
            end)

          check(events, filled(answer, old), change(@old, state), reply, :trigger)
          assert hd(events).args == [:events, :from, @old]
        end
      end

      test "tells the state of a process that is new to it, though it leaves it alone" do
        for {shape, old, answers} <- [
              {:server, @old, for({answer, :none, reply} <- @server ++ @call, do: {answer, reply})},
              {:statem, @machine_old, for({answer, :none, reply} <- @machine, do: {answer, reply})},
              {:event, @old, [{{:ok, :same}, nil}, {{:ok, :same, :hibernate}, [hibernate: true]}]},
              {:code_change, @old, [{{:ok, :same}, nil}]},
              {:socket, @old, [{{:ok, :same}, nil}, {{:noreply, :same}, nil}]}
            ],
            {answer, reply} <- answers,
            # whoever ignores or stops before it is a state machine's says nothing
            answer != :ignore do
          [{events, held}, {again, _held}] =
            in_one_process(
              [old, old],
              fn old, held ->
                site = Answering.site(Unknown, :handle, 2, nil, nil, shape)
                Answering.record(site, [:message, old], held, :message, filled(answer, held))
              end,
              old
            )

          answered = filled(answer, held)
          check(events, answered, first(old), reply, :message)
          assert hd(events).args == [:message, old]
          check(again, answered, :none, reply, :message)
          assert hd(again).args == [:message, old]
        end
      end

      test "says nothing of a state where the answer has another form" do
        for shape <- [nil, :no_shape, :init, :server, :code_change, :statem, :event, :socket, :stage],
            answer <- [
              :ok,
              :keep,
              {},
              {:ok},
              {:reply},
              {:error, 1},
              {:ok, 1, 2, 3, 4},
              {:noreply, 1, 2, 3, 4, 5},
              {:keep_state_and_data},
              {:stop_and_reply},
              [],
              [:ok | 1],
              %{},
              "ok"
            ] do
          # A live view is mounted with any options.
          unless shape == :socket and match?({:ok, _socket, _, _, _}, answer) do
            site = Answering.site(Odd, :callback, 1, nil, nil, shape)

            [{events, _held}] =
              in_one_process(
                [answer],
                fn answer, held ->
                  Answering.record(site, [], held, nil, answer)
                end,
                @machine_old
              )

            assert [%{event_type: :function_entry}, %{event_type: :function_exit, result: ^answer}] = events
          end
        end
      end

      test "says nothing of a state where a function of three arguments is none of a machine's states" do
        site = Answering.site(Machine, :put, 3, :gen_statem, {:send, 1, nil}, :statem)

        for answer <- [:ok, {:ok, self()}, {:ok, 1, 2}, {:error, :timeout}, {:reply, 1, 2}, [1], 7] do
          [{events, _held}] =
            in_one_process([:value], fn value, _held ->
              Answering.record(site, [:server, :key, value], {:put, value}, :key, answer)
            end)

          assert [%{args: [:server, :key, :value]}, %{event_type: :function_exit, result: ^answer}] = events
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
        assert Enum.map(events, &told/1) == [first(@old), change(@old, :new), change(:new, :last)]
        assert Enum.map(events, & &1.callback) == [:init, :handle_call, :handle_cast]

        assert Enum.map(events, & &1.trigger_message) ==
                 [nil, {:reply, :yes, :new}, {:stop, :normal, :last}]

        assert {first.module, first.call_id, first.parent_id} == {Server, nil, nil}
      end

      @tag recorder: [sampling_rate: 0.0, capture: [raw_terms: path]]
      test "tells the state of a process that is new to it where the call is not sampled, once" do
        site = Answering.site(Unknown, :handle, 2, GenServer, nil, :server)
        pid = spawn(fn -> for _ <- 1..3, do: Answering.record(site, [1, @old], @old, 1, {:noreply, @old}) end)
        until_dead(pid)
        assert [%Events.StateChange{callback: :handle} = change] = all_events(pid: pid)
        assert told(change) == first(@old)
      end

      test "keeps a state within its own budget, masked, and shows it where it is given and answered" do
        list = Enum.to_list(1..2_000)

        {:init, [entry, change, exit]} =
          of(Server, fn -> GenServer.start(Server, {:ok, secret(list, "one")}) end)

        masked = %{list: list, password: %Redacted{}}
        assert told(change) == first(masked)
        # what a process is started with is no state
        assert [{:ok, %{list: cut}}] = entry.args
        assert length(cut) < 2_000
        assert exit.result == {:ok, masked}

        {:handle_call, [entry, _reply, exit]} =
          of(Server, fn -> GenServer.call(change.pid, {:reply, :yes, :same}) end)

        assert [{:reply, :yes, :same}, _from, ^masked] = entry.args
        assert exit.result == {:reply, :yes, masked}
      end

      test "says that a masked part changed, and not what it was" do
        {:ok, pid} = GenServer.start(Server, {:ok, secret([1], "one")})
        {:handle_info, [_, same, _]} = of(Server, fn -> send(pid, {:noreply, secret([2], "one")}) end)
        {:handle_info, [_, change, _]} = of(Server, fn -> send(pid, {:noreply, secret([2], "two")}) end)
        [was, now] = for list <- [[1], [2]], do: secret(list, %Redacted{})
        assert [%{path: [:list | _]}] = same.state_diff
        assert {same.old_state, same.new_state, same.quality} == {was, now, :unverified}

        diff = [%{path: [:password], op: :changed, old: %Redacted{}, new: %Redacted{}}]
        assert told(change) == {now, now, diff, :unverified}
      end

      @tag recorder: [capture: [raw_terms: path, max_state_bytes: 512, max_payload_bytes: 100_000]]
      test "says where a state is not whole" do
        list = Enum.to_list(1..2_000)
        {:init, [entry, change, exit]} = of(Server, fn -> GenServer.start(Server, {:ok, list}) end)

        assert %Truncated{kind: :list} = List.last(change.new_state)
        assert {change.old_state, change.state_diff, change.quality} == {nil, nil, :approximate}
        assert entry.args == [{:ok, list}]
        assert exit.result == {:ok, %Truncated{kind: :state}}

        # What is known of it only in part is not shown where it could not say so.
        {:handle_call, [entry, after_it, _reply, _exit]} =
          of(Server, fn -> GenServer.call(change.pid, {:reply, :yes, :new}) end)

        assert [{:reply, :yes, :new}, _from, %Truncated{kind: :state}] = entry.args
        assert {after_it.old_state, after_it.new_state} == {change.new_state, :new}
        assert after_it.quality == :approximate

        # What took the place of all of it was told whole.
        assert {:ok, :new, %{quality: :unverified}} = ElixirScope.fetch_state_at(change.pid, :last)
        assert {:ok, :new, %{quality: :exact}} = ElixirScope.fetch_state_at(change.pid, after_it.timestamp)

        {:init, [_entry, change, exit]} = of(Server, fn -> GenServer.start(Server, {:ok, [1, 2, 3]}) end)
        assert told(change) == first([1, 2, 3])
        assert exit.result == {:ok, [1, 2, 3]}

        :ok = ElixirScope.update_config([:capture, :max_state_bytes], 100_000)
        {:init, [_entry, change, exit]} = of(Server, fn -> GenServer.start(Server, {:ok, list}) end)
        assert told(change) == first(list)
        assert exit.result == {:ok, list}
      end

      @tag recorder: [capture: [raw_terms: path, max_depth: 3]]
      test "says where a state is too deep, or a machine's data are" do
        {:init, [_entry, change, _exit]} = of(Server, fn -> GenServer.start(Server, {:ok, [[[[1]]]]}) end)
        assert told(change) == {nil, [[[%Truncated{kind: :depth, kept: 0}]]], nil, :approximate}

        {:init, [_entry, change, _exit]} =
          of(Machine, fn -> :gen_statem.start(Machine, {:ok, :open, [[[[1]]]]}, []) end)

        assert {:open, [[[%Truncated{kind: :depth}]]]} = change.new_state
        assert {change.old_state, change.state_diff, change.quality} == {nil, nil, :approximate}
      end

      test "says that a fun's environment was not seen where it was not" do
        salt = self()
        fun = fn -> salt end
        {:init, [_entry, change, _exit]} = of(Server, fn -> GenServer.start(Server, {:ok, fun}) end)
        whole = Native.term_decode(Native.term_encode(fun, %{whole: true})) == fun
        assert change.quality == if(whole, do: :exact, else: :approximate)
        assert {change.old_state, change.state_diff} == {nil, nil}
        if whole, do: assert(change.new_state == fun)
      end

      test "says it of the outermost call of its module only, and shows the others what they were given" do
        [{begin, _held}, {events, _same}] =
          in_one_process([:begin, :outer], fn
            :begin, held ->
              init = Answering.site(Nested, :init, 1, GenServer, nil, :init)
              Answering.record(init, [:begin], Answering.none(), nil, {:ok, held})

            :outer, held ->
              outer = Answering.site(Nested, :handle_call, 3, GenServer, nil, :server)
              inner = Answering.site(Nested, :handle_cast, 2, GenServer, nil, :server)
              token = Answering.enter(outer, [:outer, :from, held])
              between = %{data: held.data + 4}
              Answering.record(inner, [:inner, between], between, :inner, {:noreply, %{data: 6}})
              # as it is, and not new to the outer one either
              Answering.record(inner, [:again, between], between, :again, {:noreply, between})
              Native.exit_callback(outer, token, {:reply, :yes, %{data: 9}}, held, :outer)
          end)

        assert [:function_entry, :state_change, :function_exit] = Enum.map(begin, & &1.event_type)

        assert [
                 %{event_type: :function_entry, args: [:outer, :from, @old]} = outer,
                 %{event_type: :function_entry, args: [:inner, %{data: 5}]} = inner,
                 %{event_type: :function_exit, result: {:noreply, %{data: 6}}},
                 %{event_type: :function_entry, args: [:again, %{data: 5}]},
                 %{event_type: :function_exit, result: {:noreply, %{data: 5}}},
                 %{event_type: :state_change, callback: :handle_call, trigger_message: :outer} = change,
                 %{event_type: :callback_reply, reply: :yes},
                 %{event_type: :function_exit, result: {:reply, :yes, %{data: 9}}}
               ] = events

        diff = [%{path: [:data], op: :changed, old: 1, new: 9}]
        assert told(change) == {@old, %{data: 9}, diff, :unverified}
        assert {change.call_id, inner.parent_id} == {outer.id, outer.id}
      end

      test "tells a state that replaced the one on the tape, and does not say what the callback was given instead" do
        {:ok, pid} = GenServer.start(Server, {:ok, @old})
        :sys.replace_state(pid, fn @old -> %{data: 2} end)

        {:handle_call, [entry, change, _reply, exit]} =
          of(Server, fn -> GenServer.call(pid, {:reply, :yes, :same}) end)

        assert [_message, _from, %Truncated{kind: :state}] = entry.args
        assert exit.result == {:reply, :yes, %{data: 2}}
        # When it was replaced nobody saw: what lay between is a guess.
        diff = [%{path: [:data], op: :changed, old: 1, new: 2}]
        assert told(change) == {@old, %{data: 2}, diff, :approximate}
        assert ElixirScope.get_state_at(pid, :last) == %{data: 2}

        {:handle_call, [entry, _reply, _exit]} =
          of(Server, fn -> GenServer.call(pid, {:reply, :yes, :same}) end)

        assert [_message, _from, %{data: 2}] = entry.args

        :sys.replace_state(pid, fn _ -> %{data: 3} end)
        {:handle_info, [entry, change, _exit]} = of(Server, fn -> send(pid, {:noreply, %{data: 4}}) end)
        assert [_message, %Truncated{kind: :state}] = entry.args
        assert {change.new_state, change.quality} == {%{data: 4}, :approximate}
      end

      test "tells the state of a process that was instrumented while it lived" do
        on_exit(fn ->
          ElixirScope.start()
          ElixirScope.uninstrument(Specimen)
          ElixirScope.stop()
          :code.soft_purge(Specimen)
        end)

        {:ok, server} = Specimen.start_link(%{cart: 1})
        :ok = ElixirScope.instrument(Specimen)
        assert ElixirScope.get_state_at(server, :last) == {:error, :no_state_recorded}
        {:handle_info, [entry, change, exit]} = of(Specimen, fn -> send(server, :nothing) end)
        assert entry.args == [:nothing, %{cart: 1}]
        assert told(change) == first(%{cart: 1})
        assert {change.callback, change.trigger_message, change.call_id} == {:handle_info, :nothing, entry.id}
        assert exit.result == {:noreply, %{cart: 1}}
        assert ElixirScope.get_state_at(server, :last) == %{cart: 1}
        assert ElixirScope.get_state_at(server, change.timestamp) == %{cart: 1}
        assert ElixirScope.get_state_at(server, entry.timestamp - 1) == {:error, :no_state_recorded}

        {:handle_info, [%{args: [:nothing, %{cart: 1}]}, %{event_type: :function_exit}]} =
          of(Specimen, fn -> send(server, :nothing) end)

        :ok = Specimen.put(server, :cart, 2)
        assert [_first, change] = all_events(pid: server, event_type: :state_change)
        diff = [%{path: [:cart], op: :changed, old: 1, new: 2}]
        assert told(change) == {%{cart: 1}, %{cart: 2}, diff, :unverified}
        GenServer.stop(server)
      end
    end

    describe "a loop, with terms read by #{if path, do: "words", else: "the NIF interface"}," do
      @describetag recorder: [capture: [raw_terms: path]]

      test "tells its state at each round, and what changed in it" do
        # One that comes back by a way that was not seen may have changed on it.
        for {ways, quality} <- [{:unseen, :approximate}, {:seen, :unverified}] do
          pid = spawn(fn -> loop(3, ways) end)
          until_dead(pid)
          events = all_events(pid: pid)
          changes = Enum.filter(events, &(&1.event_type == :state_change))

          assert Enum.map(changes, &told/1) == [
                   first(%{left: 3})
                   | for left <- 2..0//-1 do
                       diff = [%{path: [:left], op: :changed, old: left + 1, new: left}]
                       {%{left: left + 1}, %{left: left}, diff, quality}
                     end
                 ]

          for %{callback: :loop, module: __MODULE__, trigger_message: nil} = change <- changes do
            assert change.call_id == change.parent_id
            assert %{event_type: :function_entry} = Enum.find(events, &(&1.id == change.call_id))
          end

          assert Enum.count(events, &(&1.event_type == :function_entry)) == 4
          assert Enum.all?(changes, &(&1.callback == :loop))
        end
      end

      @tag recorder: [sampling_rate: 0.0, capture: [raw_terms: path]]
      test "tells it where its calls are not sampled" do
        pid = spawn(fn -> loop(1, :seen) end)
        until_dead(pid)
        assert [%Events.StateChange{}, %Events.StateChange{}] = events = all_events(pid: pid)
        diff = [%{path: [:left], op: :changed, old: 1, new: 0}]
        assert Enum.map(events, &told/1) == [first(%{left: 1}), {%{left: 1}, %{left: 0}, diff, :unverified}]
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
        Native.loop_state(site, token, :old, :state)
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
      Native.loop_state(site, token, :old, :state)
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
          shape =
            Enum.random([:init, :server, :code_change, :statem, :event, :socket, :stage, Generate.term(1)])

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

  # What a process of its own records for each of some steps, which are told the state that it holds, and that state. It is
  # made there, and no literal: of one there might be two.
  defp in_one_process(steps, run, state \\ @old) do
    test = self()

    pid =
      spawn(fn ->
        held = :erlang.binary_to_term(:erlang.term_to_binary(state))
        Enum.each(steps, &run.(&1, held))
        send(test, {self(), held})
      end)

    assert_receive {^pid, held}
    events = all_events(pid: pid)
    outermost = Enum.filter(events, &(&1.event_type == :function_entry and &1.parent_id == nil))

    for entry <- outermost do
      {Enum.filter(events, &(&1.correlation_id == entry.correlation_id)), held}
    end
  end

  defp filled(answer, old \\ @old)
  defp filled(answer, {name, data}), do: Answering.fill(answer, same: data, same_name: name)
  defp filled(answer, old), do: Answering.fill(answer, same: old, same_name: :closed)

  defp secret(list, password), do: %{list: list, password: password}

  # What an event says of a state.
  defp told(change), do: {change.old_state, change.new_state, change.state_diff, change.quality}

  # What it says of the first one, which is recorded whole.
  defp first(:none), do: :none
  defp first(state), do: {nil, state, nil, :exact}

  # What it says of one that became another one as a whole.
  defp change(_old, :none), do: :none
  defp change(old, new), do: {old, new, differences(old, new), :unverified}

  defp differences({old_name, old_data}, {name, data}) do
    for {at, old, new} <- [{0, old_name, name}, {1, old_data, data}], old != new do
      %{path: [at], op: :changed, old: old, new: new}
    end
  end

  defp differences(old, new), do: [%{path: [], op: :changed, old: old, new: new}]

  defp check(events, answer, told, reply, trigger) do
    kinds = [:function_entry, told != :none && :state_change, reply && :callback_reply, :function_exit]
    assert Enum.map(events, & &1.event_type) == Enum.filter(kinds, & &1), inspect(answer)
    [entry | inside] = events
    callback = entry.function

    for event <- inside, do: assert(event.call_id == entry.id)

    for %{event_type: :state_change} = change <- inside do
      assert told(change) == told, inspect(answer)
      assert {change.callback, change.trigger_message, change.parent_id} == {callback, trigger, entry.id}
      assert change.module == entry.module
    end

    for %{event_type: :callback_reply} = event <- inside do
      defaults = [reply: nil, timeout: nil, hibernate: false, continue_data: nil]

      assert Map.take(event, Keyword.keys(defaults)) == Map.merge(Map.new(defaults), Map.new(reply || [])),
             inspect(answer)

      assert {event.callback, event.parent_id} == {callback, entry.id}
    end

    exit = List.last(inside)
    assert {exit.exit_reason, exit.result} == {:normal, answer}
    assert exit.correlation_id == entry.correlation_id
  end

  @loop Site.new({__MODULE__, :loop, 1, "test/callback_test.exs", 3, 1, [:left], :loop})

  defp loop(left, ways) do
    token = Native.enter_1(@loop, left)
    state = %{left: left}
    Native.loop_state(@loop, token, state)
    if left > 0 and ways == :seen, do: Native.loop_state(@loop, token, state, %{left: left - 1})
    Native.exit_tail(@loop, token)
    if left > 0, do: loop(left - 1, ways)
  end
end
