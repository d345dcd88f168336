defmodule ElixirScope.Test.RawTrace do
  @moduledoc "Traces of messages and processes, set by hand: what `ElixirScope.trace/2` does, without its limits and refusals."

  alias ElixirScope.Native

  @flags [:send, :receive, :procs]

  @doc "Runs `fun` while sends, arrivals and life of the processes are recorded, and of those that they spawn."
  def traced(pids, fun) do
    {:ok, number} =
      Native.trace_open(%{
        events: @flags,
        args: true,
        returns: true,
        max: :infinity,
        rate: :infinity,
        for: :infinity,
        scope: :members,
        only_inside: nil,
        follow: :spawn
      })

    tracer = [{:tracer, ElixirScope.Native, 0}]
    :ok = Native.trace_members(number, pids, true)
    :erlang.trace_pattern(:receive, [{[:"$1", :"$2", :_], [], [{:message, {{:"$1", :"$2"}}}]}], [])
    Native.trace_note(:started, pids, %{}, nil)
    for pid <- pids, do: :erlang.trace(pid, true, [:set_on_spawn | @flags] ++ tracer)

    try do
      fun.()
    after
      for pid <- Process.list(), {:tracer, {ElixirScope.Native, _}} <- [:erlang.trace_info(pid, :tracer)] do
        :erlang.trace(pid, false, [:all])
      end

      :erlang.trace_pattern(:receive, true, [])
      Native.trace_end(number, :stopped)
      Native.trace_note(:ended, pids, %{}, :stopped)
      Native.trace_free(number)
    end
  end
end
