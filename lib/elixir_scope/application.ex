defmodule ElixirScope.Application do
  @moduledoc false

  use Application

  alias ElixirScope.{Native, Patience, RawTerms, Recorder}
  alias ElixirScope.Instrument.Sidecar

  # Loading the application records nothing: these processes wait until `ElixirScope.start/1` or `{ElixirScope, opts}`.
  # The recorder itself lives in the native library, so that none of them, nor all of them, takes the tape along when it dies.
  @impl true
  def start(_type, _args) do
    if Native.load_failure() == nil, do: RawTerms.learn()
    # before the applications that depend on this one, so that their first call is seen
    Sidecar.load_all()
    ElixirScope.Supervisor.start_link([])
  end

  @impl true
  def prep_stop(state) do
    # `:application_master` calls this also when our topmost supervisor has crashed. The tape outlives that.
    if Process.whereis(Patience.root()), do: Recorder.halt()
    state
  end
end
