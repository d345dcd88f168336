defmodule ElixirScope.MessageTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.{Native, Redacted, Site, Truncated}
  alias ElixirScope.Test.Generate

  @site Site.new({__MODULE__, :sends, 1, "test/message_test.exs", 7, 0, [], :mark})

  for path <- [:auto, false] do
    describe "with raw_terms: #{path}, a message" do
      @describetag recorder: [capture: [raw_terms: path]]

      test "is recorded with its sender, its receiver and its kind" do
        receiver = spawn_link(fn -> Process.sleep(:infinity) end)
        Process.register(receiver, :receiver_of_the_test)
        dead = spawn(fn -> :ok end)
        until_dead(dead)
        alias = :erlang.alias()
        remote = :erlang.binary_to_term(<<131, 88, 119, 3, "b@c", 9::32, 0::32, 1::32>>)
        [port | _] = Port.list()

        for {to, pid, name, to_dead} <- [
              {receiver, receiver, nil, nil},
              {self(), self(), nil, nil},
              {dead, dead, nil, nil},
              {remote, remote, nil, nil},
              {:receiver_of_the_test, receiver, :receiver_of_the_test, nil},
              {:nobody_of_the_test, nil, :nobody_of_the_test, true},
              {{:receiver_of_the_test, node()}, receiver, {:receiver_of_the_test, node()}, nil},
              {{:nobody_of_the_test, node()}, nil, {:nobody_of_the_test, node()}, true},
              {{:receiver_of_the_test, :b@c}, nil, {:receiver_of_the_test, :b@c}, nil},
              {{:via, Registry, {Names, "a"}}, nil, {:via, Registry, {Names, "a"}}, nil},
              {{:global, :name}, nil, {:global, :name}, nil},
              {{receiver, make_ref()}, receiver, nil, nil},
              {{receiver, [:alias | make_ref()]}, receiver, nil, nil},
              {alias, nil, alias, nil},
              {port, nil, port, nil},
              {"no receiver", nil, "no receiver", nil}
            ],
            type <- [:send, :call, :cast, :reply] do
          assert Native.message(@site, type, to, {:message, type}) == :ok

          assert %Events.MessageSend{sender_pid: sender, message: {:message, ^type}} =
                   event = the_event(limit: 1)

          assert sender == self()
          assert {event.receiver_pid, event.receiver_name, event.to_dead} == {pid, name, to_dead}
          assert event.send_type == type

          assert {event.message_id, event.call_ref, event.received_at, event.handled_at} ==
                   {event.id, nil, nil, nil}
        end

        assert ElixirScope.count_events(module: __MODULE__, function: :sends, arity: 1) == 64
      end

      test "to the name of a port is not called lost" do
        port = Port.open({:spawn, "cat"}, [])
        Process.register(port, :port_of_the_test)
        Native.message(@site, :send, :port_of_the_test, :hello)
        assert %{receiver_pid: nil, receiver_name: :port_of_the_test, to_dead: nil} = the_event()
        Port.close(port)
      end

      test "belongs to the call that sends it, sampled or not" do
        site = Site.new({__MODULE__, :caller, 0, "test/message_test.exs", 1, 1, [], :public})

        for rate <- [1.0, 0.0] do
          # Somebody else each time, who does not carry the cause of the first message on.
          other = spawn(fn -> :ok end)
          :ok = ElixirScope.update_config([:sampling_rate], rate)
          token = Native.enter_0(site)
          Native.message(@site, :send, other, rate)
          Native.spawned(@site, other)
          Native.exit_void(site, token)
        end

        assert [entry, sent, spawned, exit, unsampled, _] = all_events(pid: self())
        assert {sent.parent_id, spawned.parent_id, exit.call_id} == {entry.id, entry.id, entry.id}
        assert sent.correlation_id == entry.correlation_id
        assert unsampled.message == 0.0 and unsampled.parent_id == nil
        assert unsampled.correlation_id not in [nil, entry.correlation_id]
      end

      test "is masked, and cut where the budget ends" do
        Native.message(@site, :cast, self(), {%{password: "hunter2"}, Enum.to_list(1..5_000)})
        assert {%{password: %Redacted{}}, list} = the_event().message
        assert %Truncated{} = List.last(list)
      end

      test "is never in the way, whatever the terms are" do
        Generate.seed()

        for _ <- 1..500 do
          assert Native.message(@site, Generate.term(1), Generate.term(2), Generate.term()) == :ok
          assert Native.spawned(@site, Generate.term(2)) == :ok
        end

        assert ElixirScope.count_events(event_type: :message_send) == 500
        assert all_events() |> Enum.all?(&Events.event?/1)
        assert ElixirScope.status().faults.panics == 0
      end
    end

    describe "with raw_terms: #{path}, a process that is spawned" do
      @describetag recorder: [capture: [raw_terms: path]]

      test "is recorded with its parent, whatever spawned it" do
        {:ok, agent} = Agent.start_link(fn -> 1 end)
        task = Task.async(fn -> 1 end)
        {pid, _monitor} = monitored = spawn_monitor(fn -> :ok end)

        for {result, child} <- [
              {pid, pid},
              {monitored, pid},
              {{:ok, agent}, agent},
              {{:ok, agent, :info}, agent},
              {task, task.pid}
            ] do
          assert Native.spawned(@site, result) == :ok
          assert %Events.ProcessSpawn{spawned_pid: ^child, parent_pid: parent} = event = the_event(limit: 1)
          assert parent == self()
          assert {event.module, event.function, event.args, event.registered_name} == {nil, nil, nil, nil}
        end

        Task.await(task)
        assert ElixirScope.count_events(module: __MODULE__, function: :sends, arity: 1) == 5
      end

      test "is nothing where there is none" do
        for result <- [
              :ignore,
              {:error, {:already_started, self()}},
              {:ok, :pid},
              {:ok, self(), 1, 2},
              {:error, self(), 1},
              {},
              [self()],
              %{pid: self()},
              %{__struct__: Task},
              %{__struct__: Task, pid: nil},
              %{__struct__: URI, pid: self()},
              nil
            ] do
          assert Native.spawned(@site, result) == :ok
        end

        assert all_events() == []
      end
    end
  end
end
