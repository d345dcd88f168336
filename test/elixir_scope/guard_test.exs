defmodule ElixirScope.GuardTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.{Guard, Native, Site, Truncated}
  alias ElixirScope.Test.Answering

  doctest ElixirScope.Guard

  @off [
    max_run_queue: :infinity,
    max_memory_bytes: :infinity,
    max_cpu_share: :infinity,
    max_loss: :infinity
  ]
  # Whatever is read passes it at the second look, unless it is 0.
  @moduletag recorder: [guard: Keyword.put(@off, :max_run_queue, 10)]

  @site Site.new({__MODULE__, :handle, 2, "test/guard_test.exs", 7, 0, [:first, :second], :public})
  @sends Site.new({__MODULE__, :sends, 1, "test/guard_test.exs", 7, 0, [], :mark})
  @left_out %Truncated{kind: :guard}
  @none :"$elixir_scope_none"

  @still %{run_queue: 0, memory_bytes: 0, cpu_share: 0.0, loss: 0.0}

  setup do
    on_exit(fn -> Guard.read_with(nil) end)
  end

  defp looks(figures, n) do
    Guard.read_with(fn -> Map.merge(@still, figures) end)
    for _ <- 1..n, do: Guard.look()
  end

  # Goes up so many levels.
  defp up(levels), do: looks(%{run_queue: 100}, 2 * levels) |> List.last()
  defp down(levels), do: looks(%{}, 10 * levels) |> List.last()

  defp call(first, second, result) do
    token = Native.enter_2(@site, first, second)
    Native.exit(@site, token, result)
  end

  defp entry, do: List.last(all_events(pid: self(), event_type: :function_entry))
  defp exit_event, do: List.last(all_events(pid: self(), event_type: :function_exit))
  defp steps, do: for(%{operation: :guard} = event <- all_events(event_type: :trace_control), do: event)

  describe "a step" do
    test "up comes with the second look that finds a bound passed, and is told" do
      looks(%{run_queue: 100}, 1)
      assert ElixirScope.status().guard.level == :full

      assert %{level: :no_payloads, why: why, since: %DateTime{} = since, steps: [step]} =
               hd(looks(%{run_queue: 100}, 1))

      assert why == %{bound: :max_run_queue, limit: 10, figure: 100}
      assert step == %{at: since, from: :full, to: :no_payloads, why: why}
      assert %{level: :no_payloads, why: ^why, bounds: %{max_run_queue: 10, max_loss: :infinity}} = guard()
    end

    test "is an event on the tape, with the figures and the bound" do
      up(1)
      down(1)
      assert [on, off] = steps()
      assert {on.target, on.reason, off.target, off.reason} == {:no_payloads, :max_run_queue, :full, :calm}

      assert %{
               from: :full,
               run_queue: 100,
               bound: :max_run_queue,
               limit: 10,
               cpu_share: +0.0,
               memory_bytes: 0
             } = on.limits

      assert off.limits == Map.put(@still, :from, :no_payloads)
    end

    test "down comes with the tenth calm look" do
      up(2)
      assert List.last(looks(%{}, 9)).level == :sampled
      assert %{level: :no_payloads, why: %{bound: :max_run_queue}} = List.last(looks(%{}, 1))
      assert %{level: :full, why: nil, steps: steps} = down(1)
      assert Enum.map(steps, & &1.to) == [:full, :no_payloads, :sampled, :no_payloads]
    end

    test "to the highest level is on the tape too, and the way back" do
      up(4)
      down(4)
      levels = [:no_payloads, :sampled, :no_traces, :paused]
      assert Enum.map(steps(), & &1.target) == levels ++ [:no_traces, :sampled, :no_payloads, :full]
    end
  end

  for path <- [:auto, false] do
    describe "at :no_payloads, with raw_terms: #{path}," do
      @describetag recorder: [capture: [raw_terms: path], guard: Keyword.put(@off, :max_run_queue, 10)]

      test "arguments and results are left out, but for what takes one word" do
        up(1)
        call(%{large: "map"}, 17, "result")
        assert entry().args == [@left_out, 17]
        assert exit_event().result == @left_out
        ref = make_ref()
        call(self(), ref, :ok)
        assert entry().args == [self(), ref]
        assert {exit_event().result, exit_event().call_id} == {:ok, entry().id}
        down(1)
        call(%{large: "map"}, 17, "result")
        assert {entry().args, exit_event().result} == {[%{large: "map"}, 17], "result"}
      end

      test "messages are left out, and who sent them to whom is not" do
        up(1)
        Native.message(@sends, :cast, self(), {:a, "message"})

        assert %Events.MessageSend{message: @left_out, send_type: :cast, sender_pid: me, receiver_pid: me} =
                 the_event(event_type: :message_send)

        assert me == self()
      end

      test "exceptions, what the program itself wrote down, and states are whole" do
        up(1)
        Trace.event(:order, %{"id" => 1})
        token = Native.enter_2(@site, 1, 2)
        Native.exit_error(@site, token, :error, {:badmatch, "x"}, [{:m, :f, 1, []}])
        {:ok, pid} = GenServer.start_link(Answering.Server, {:ok, %{name: "ann"}})

        assert the_event(event_type: :user_event).data == %{"id" => 1}
        assert exit_event().exit_reason == {:error, {:badmatch, "x"}, [{:m, :f, 1, []}]}
        assert %{name: "ann"} = ElixirScope.get_state_at(pid, ElixirScope.now())
        GenServer.stop(pid)
      end
    end
  end

  describe "at :sampled" do
    test "one in sixteen of the outermost calls is recorded, with what is inside it, and all marks" do
      up(2)

      for n <- 1..3_200 do
        outer = Native.enter_2(@site, n, :outer)
        call(n, :inner, :ok)
        Native.exit(@site, outer, :ok)
        Trace.event(:mark, n)
      end

      entries = for %{args: args} <- all_events(event_type: :function_entry), do: args
      outer = for [n, :outer] <- entries, do: n
      assert for([n, :inner] <- entries, do: n) == outer
      assert length(outer) in 100..320
      assert ElixirScope.count_events(event_type: :user_event) == 3_200
    end

    test "the rate that was asked for can still be changed" do
      up(2)
      :ok = ElixirScope.update_config(:sampling_rate, 0.0)
      for n <- 1..100, do: call(n, n, n)
      assert all_events(event_type: :function_entry) == []
      :ok = ElixirScope.update_config(:sampling_rate, 1.0)
      assert guard().level == :sampled
      down(2)
      for n <- 1..100, do: call(n, n, n)
      assert length(all_events(event_type: :function_entry)) == 100
    end
  end

  describe "at :no_traces" do
    @all_day %{
      events: [:send],
      args: true,
      returns: true,
      max: :infinity,
      rate: :infinity,
      for: :infinity,
      scope: :members,
      only_inside: nil,
      follow: nil,
      exact: false
    }

    test "traces have ended, and none begins" do
      {:ok, number} = Native.trace_open(@all_day)
      on_exit(fn -> Native.trace_free(number) end)
      up(2)
      assert {^number, :running, 0, 0, 0} = List.keyfind(Native.trace_status(), number, 0)
      up(1)
      assert {^number, {:ended, :guard}, 0, 0, 0} = List.keyfind(Native.trace_status(), number, 0)
      assert Native.trace_open(@all_day) == {:error, :guard}
      down(1)
      assert {:ok, other} = Native.trace_open(@all_day)
      Native.trace_free(other)
    end
  end

  describe "a trace that runs" do
    test "is ended at :no_traces, with all that it set in the VM, and none begins until that has passed" do
      pid = spawn_link(fn -> Process.sleep(:infinity) end)
      {:ok, ref} = ElixirScope.trace(pid, events: [:send])
      on_exit(fn -> ElixirScope.untrace(:all) end)
      up(3)
      until(fn -> ElixirScope.status().traces == [] end, "the end of the trace")
      assert [%{ref: ^ref, reason: :guard} | _before] = ElixirScope.status().ended_traces
      assert {:flags, []} = :erlang.trace_info(pid, :flags)
      assert {:error, %ElixirScope.Error{reason: :guarded} = error} = ElixirScope.trace(pid)
      assert Exception.message(error) =~ "to spare the node"
      down(1)
      assert {:ok, _ref} = ElixirScope.trace(pid)
    end
  end

  describe "at :paused" do
    test "nothing is recorded, and all of it is counted as lost by the guard" do
      call(1, 2, 3)
      up(4)
      lost = lost()
      for n <- 1..500, do: call(n, "text", n)
      Trace.event(:mark, 1)
      assert lost() - lost == 1_001
      assert [_only] = all_events(event_type: :function_entry)
      assert all_events(event_type: :user_event) == []
      down(4)
      call(4, 5, 6)
      assert lost() - lost == 1_001
      assert entry().args == [4, 5]

      told = for %Events.DataLoss{cause: :guard} = loss <- all_events(event_type: :data_loss), do: loss.count
      assert Enum.sum(told) == lost()
    end

    test "states change unseen, and are right again afterwards" do
      site = Answering.site(Kept, :handle, 3, GenServer, nil, :server)
      change = fn old, new -> Native.exit_callback(site, Native.enter_0(site), {:noreply, new}, old, nil) end
      change.(@none, %{count: 1})
      change.(%{count: 1}, %{count: 2})
      up(4)
      change.(%{count: 2}, %{count: 3})
      change.(%{count: 3}, %{count: 4})
      down(4)
      change.(%{count: 4}, %{count: 5})
      assert %{count: 5} = ElixirScope.get_state_at(self(), ElixirScope.now())
      change.(%{count: 5}, %{count: 6})
      assert %{count: 6} = ElixirScope.get_state_at(self(), ElixirScope.now())
      assert ElixirScope.status().timelines.mismatches == 0
    end

    test "a call that was entered before ends afterwards" do
      outer = Native.enter_2(@site, :outer, 0)
      up(4)
      call(:lost, 0, 0)
      down(4)
      call(:inner, 0, 0)
      Native.exit(@site, outer, :ok)
      assert [first, inner] = all_events(pid: self(), event_type: :function_entry)
      assert {first.args, inner.args, inner.parent_id} == {[:outer, 0], [:inner, 0], first.id}
      assert exit_event().call_id == first.id
    end
  end

  describe "the guard" do
    test "that is killed is followed by one at the same level, which goes down" do
      up(3)
      pid = Process.whereis(Guard)
      Process.exit(pid, :kill)
      until_dead(pid)
      until(fn -> Process.whereis(Guard) not in [nil, pid] end, "the next guard")
      assert guard().level == :no_traces
      assert %{level: :full} = down(3)
      call("a", "b", "c")
      assert entry().args == ["a", "b"]
    end

    test "begins anew with the next recorder" do
      up(4)
      :ok = ElixirScope.stop()
      :ok = ElixirScope.start(guard: @off)
      assert %{level: :full, steps: []} = guard()
      call("a", "b", "c")
      assert entry().args == ["a", "b"]
    end

    test "rests while recording is paused" do
      :ok = ElixirScope.pause()
      assert %{level: :full} = up(2)
      :ok = ElixirScope.resume()
      assert %{level: :no_payloads} = up(1)
    end

    test "goes by bounds that are changed while it looks" do
      :ok = ElixirScope.update_config([:guard, :max_run_queue], 100)
      assert %{level: :full} = up(2)
      :ok = ElixirScope.update_config([:guard, :max_loss], 0.5)
      assert %{level: :no_payloads, why: why} = List.last(looks(%{loss: 0.75}, 2))
      assert why == %{bound: :max_loss, limit: 0.5, figure: 0.75}
    end

    @tag recorder: [guard: Keyword.put(@off, :max_memory_bytes, 1)]
    test "looks by itself, and takes back what it did" do
      until(fn -> guard().level == :paused end, "the highest level")
      assert %{bound: :max_memory_bytes, limit: 1, figure: figure} = guard().why
      assert figure > 1_048_576
      :ok = ElixirScope.update_config([:guard, :max_memory_bytes], :infinity)
      until(fn -> guard().level == :full end, "the lowest level")
      call("a", "b", "c")
      assert entry().args == ["a", "b"]
      assert Enum.map(steps(), & &1.target) |> Enum.take(-4) == [:no_traces, :sampled, :no_payloads, :full]
    end

    @tag recorder: [
           guard: Keyword.put(@off, :max_loss, 0.01),
           capture: [buffer_bytes: 16_384, total_bytes: 65_536]
         ]
    test "sees what full rings lose" do
      load =
        start_load(fn ->
          for n <- 1..1_000, do: Trace.event(:flood, {n, "0123456789012345678901234567890123456789"})
        end)

      until(fn -> match?(%{bound: :max_loss}, guard().why) end, "a loss that is seen")
      stop_load(load)
      until(fn -> guard().level == :full end, "the lowest level", 20_000)
    end

    @tag recorder: [guard: Keyword.put(@off, :max_cpu_share, 0.05)]
    test "sees what recording takes of the processor" do
      load = start_load(fn -> Trace.event(:busy, %{name: "0123456789"}) end)
      until(fn -> match?(%{bound: :max_cpu_share}, guard().why) end, "a share that is seen")
      stop_load(load)
      until(fn -> guard().level == :full end, "the lowest level", 20_000)
    end
  end

  defp guard, do: ElixirScope.status().guard
  defp lost, do: Map.get(ElixirScope.status().capture.lost, :guard, 0)
end
