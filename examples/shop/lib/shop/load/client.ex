defmodule Shop.Load.Client do
  @moduledoc "A small HTTP client that keeps its connection: one request at a time, form-encoded both ways."

  @timeout_ms 15_000

  @doc "Connects to a port of this machine."
  @spec connect(:inet.port_number()) :: :gen_tcp.socket()
  def connect(port) do
    options = [:binary, packet: :http_bin, active: false, nodelay: true]
    {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, port, options, @timeout_ms)
    socket
  end

  @doc "Sends a request and waits for its answer."
  @spec request(:gen_tcp.socket(), String.t(), String.t(), Enumerable.t()) ::
          {status :: pos_integer(), %{String.t() => String.t()}}
  def request(socket, method, path, params \\ []) do
    body = URI.encode_query(params)

    :ok =
      :gen_tcp.send(socket, [
        [method, " ", path, " HTTP/1.1\r\nhost: localhost\r\n"],
        ["content-type: application/x-www-form-urlencoded\r\n"],
        ["content-length: ", Integer.to_string(byte_size(body)), "\r\n\r\n", body]
      ])

    {:ok, {:http_response, _version, status, _reason}} = :gen_tcp.recv(socket, 0, @timeout_ms)
    {status, socket |> read_body(content_length(socket, 0)) |> URI.decode_query()}
  end

  defp content_length(socket, length) do
    case :gen_tcp.recv(socket, 0, @timeout_ms) do
      {:ok, {:http_header, _, :"Content-Length", _, value}} ->
        content_length(socket, String.to_integer(value))

      {:ok, {:http_header, _, _name, _, _value}} ->
        content_length(socket, length)

      {:ok, :http_eoh} ->
        length
    end
  end

  defp read_body(_socket, 0), do: ""

  defp read_body(socket, length) do
    :ok = :inet.setopts(socket, packet: :raw)
    {:ok, body} = :gen_tcp.recv(socket, length, @timeout_ms)
    :ok = :inet.setopts(socket, packet: :http_bin)
    body
  end
end
