defmodule ElixirScope.Supervisor do
  @moduledoc false

  use Supervisor

  alias ElixirScope.{
    Guard,
    Instrument,
    Life,
    Muted,
    Patience,
    Performance,
    Recorder,
    Subscriptions,
    Tracing,
    Watch
  }

  @spec start_link(term) :: Supervisor.on_start()
  def start_link(arg), do: Supervisor.start_link(__MODULE__, arg, name: Patience.root())

  @impl true
  def init(_arg) do
    Muted.forever()
    # The table is the supervisor's own, so that a subscription outlives a crash of its relay.
    Subscriptions.Table.create()
    # And so that what a follower that was killed has left in a process can be taken away.
    Watch.Table.create()
    # And so that a crash of ours does not make one of the host's be told of twice.
    Life.Crashes.create()

    children = [
      Subscriptions.Supervisor,
      Watch.Followers,
      Tracing.Server,
      Life.Teller,
      Performance.Monitor,
      Guard,
      Recorder.Server,
      Instrument.Server
    ]

    # None of them needs another one to start, and no number of crashes of ours may end the host's node.
    Supervisor.init(children, strategy: :one_for_one, max_restarts: 1_000, max_seconds: 1)
  end
end
