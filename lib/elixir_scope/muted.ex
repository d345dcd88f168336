defmodule ElixirScope.Muted do
  @moduledoc false

  # Recording never records itself: whatever runs inside `run/1`, and whatever a process of ours does, leaves no event,
  # even with `Enum` or `GenServer` instrumented. The library counts per process, so calls nest.

  alias ElixirScope.Native

  @doc "Runs `fun` with the calling process muted."
  @spec run((() -> result)) :: result when result: var
  def run(fun) do
    Native.mute()

    try do
      fun.()
    after
      Native.unmute()
    end
  end

  # What befalls a process of the host meanwhile is recorded all the same: messages that arrive, names that others give it, its end.
  # Of one of ours nothing is.

  @doc "Mutes the calling process for the rest of its life, since it is one of ours."
  @spec forever() :: :ok
  def forever, do: Native.mute_for_life()
end
