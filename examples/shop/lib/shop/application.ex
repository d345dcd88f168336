defmodule Shop.Application do
  @moduledoc false
  # The recorder comes first: it sees everything start, and is the last to stop.

  use Application

  @impl true
  def start(_type, _args) do
    children = [
      {ElixirScope, Application.get_env(:shop, :recorder, [])},
      Shop.OrderBook,
      Shop.Inventory,
      Shop.Carts,
      Shop.Dispatch,
      {Shop.Web, port: Application.get_env(:shop, :port, 0)}
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Shop.Supervisor)
  end
end
