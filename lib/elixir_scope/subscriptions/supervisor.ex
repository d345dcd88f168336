defmodule ElixirScope.Subscriptions.Supervisor do
  @moduledoc false

  # The relays, and after them what brings back those that died with their supervisor.

  use Supervisor

  alias ElixirScope.{Muted, Patience, Subscriptions}

  @spec start_link(term) :: Supervisor.on_start()
  def start_link(_arg) do
    Patience.start(fn -> Supervisor.start_link(__MODULE__, nil, name: __MODULE__) end)
  end

  @impl true
  def init(nil) do
    Muted.forever()

    children = [
      Subscriptions.Relays,
      %{id: :restore, start: {Subscriptions, :restore, []}}
    ]

    Supervisor.init(children, strategy: :rest_for_one, max_restarts: 1_000, max_seconds: 1)
  end
end
