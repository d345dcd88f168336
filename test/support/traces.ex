defmodule ElixirScope.Test.Traces do
  @moduledoc "What of our traces is set in the VM, asked of the VM itself."

  import ExUnit.Assertions

  alias ElixirScope.Tracing.Session

  @doc "Processes, functions and events that have flags or patterns of ours. On VMs with sessions nothing else may have any either."
  @spec left() :: [pid | mfa | :new | :send | :receive | :seq_trace]
  def left do
    tracer = if :seq_trace.get_system_tracer() == false, do: [], else: [:seq_trace]
    %{ours: tokens} = ElixirScope.Tracing.Tokens.tokens()
    tracer ++ tokens ++ flags_and_patterns()
  end

  defp flags_and_patterns do
    if Session.sessions?() do
      functions = for {m, _file} <- :code.all_loaded(), {f, a} <- m.module_info(:functions), do: {m, f, a}

      left =
        Enum.filter([:new | Process.list()] ++ functions, fn what ->
          apply(:trace, :session_info, [what]) not in [[], :undefined]
        end)

      # The classic interface's session has one for messages at all times.
      messages =
        Enum.reject([:send, :receive], fn what ->
          Enum.all?(apply(:trace, :session_info, [what]), &match?({:legacy, _}, &1))
        end)

      messages ++ left
    else
      %{processes: processes, functions: functions} = Session.leftovers()
      processes ++ functions
    end
  end

  @spec assert_nothing_left() :: true
  def assert_nothing_left, do: assert(left() == [])

  @doc "The trace that runs."
  def the_trace do
    case ElixirScope.status() do
      %{traces: [trace]} -> trace
      %{traces: traces, ended_traces: ended} -> flunk("one trace was to run: #{inspect({traces, ended})}")
    end
  end

  @doc "Why a trace ended, once it has."
  @spec ending(reference) :: atom
  def ending(ref) do
    ElixirScope.Test.Wait.until(
      fn -> Enum.find_value(ElixirScope.status().ended_traces, &(&1.ref == ref && &1.reason)) end,
      "the end of the trace"
    )
  end

  @doc "A process that does what it is told by messages `{from, fun}`, and answers with what that answered."
  @spec worker(keyword) :: pid
  def worker(opts \\ []) do
    parent = self()

    pid =
      spawn_link(fn ->
        if opts[:sensitive], do: Process.flag(:sensitive, true)
        send(parent, {self(), :ready})
        work()
      end)

    receive do: ({^pid, :ready} -> pid)
  end

  defp work do
    receive do
      {from, ref, fun} ->
        send(from, {ref, fun.()})
        work()
    end
  end

  @doc "Has a worker do something, and waits for it."
  @spec run(pid, (() -> result)) :: result when result: term
  def run(worker, fun) do
    ref = make_ref()
    send(worker, {self(), ref, fun})
    receive do: ({^ref, result} -> result)
  end
end
