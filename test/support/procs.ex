defmodule ElixirScopeTest.Procs do
  @moduledoc "A trace of the lives of all processes, by the natives alone."

  alias ElixirScope.Native

  @tracer {Native, 0}

  @doc "Traces until the test ends; `note: true` tells the tape of it as a trace of the front door does."
  def trace(events \\ [:procs], opts \\ []) do
    config = %{
      events: events,
      args: true,
      returns: false,
      max: :infinity,
      rate: :infinity,
      for: :infinity,
      scope: :all,
      only_inside: nil,
      follow: nil
    }

    {:ok, number} = Native.trace_open(config)
    Native.mute()
    flags = [:procs] ++ if(:receive in events, do: [:receive], else: [])

    if :receive in events do
      pattern = [{[:"$1", :"$2", :_], [], [{:message, {{:"$1", :"$2"}}}]}]
      :erlang.trace_pattern(:receive, pattern, [])
    end

    :erlang.trace(:all, true, [{:tracer, elem(@tracer, 0), elem(@tracer, 1)} | flags])
    if opts[:note], do: Native.trace_note(:started, :all, %{events: events}, nil)
    Native.unmute()

    ExUnit.Callbacks.on_exit(fn ->
      Native.trace_end(number, :stopped)
      :erlang.trace(:all, false, flags)
      if :receive in events, do: :erlang.trace_pattern(:receive, true, [])
      Native.trace_free(number)
    end)

    number
  end
end
