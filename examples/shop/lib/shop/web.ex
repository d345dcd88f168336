defmodule Shop.Web do
  @moduledoc "The shop's HTTP server: OTP's own `:httpd`, with `Shop.Web.Handler` in front of `Shop`."

  use GenServer

  @doc false
  def start_link(opts), do: GenServer.start_link(__MODULE__, opts, name: __MODULE__)

  @doc "The port that it listens on."
  @spec port() :: :inet.port_number()
  def port, do: GenServer.call(__MODULE__, :port)

  @doc "Where to point a browser, or `curl`."
  @spec url() :: String.t()
  def url, do: "http://localhost:#{port()}"

  @impl true
  def init(opts) do
    Process.flag(:trap_exit, true)

    case :inets.start(:httpd, config(Keyword.fetch!(opts, :port))) do
      {:ok, server} -> {:ok, server}
      {:error, reason} -> {:stop, reason}
    end
  end

  @impl true
  def handle_call(:port, _from, server), do: {:reply, :httpd.info(server)[:port], server}

  @impl true
  def terminate(_reason, server), do: :inets.stop(:httpd, server)

  defp config(port) do
    [
      port: port,
      bind_address: {127, 0, 0, 1},
      server_name: ~c"shop",
      server_root: ~c".",
      document_root: ~c".",
      modules: [Shop.Web.Handler],
      keep_alive: true,
      socket_type: {:ip_comm, [nodelay: true]}
    ]
  end
end
