defmodule Shop.Web.Request do
  @moduledoc "What came in over HTTP: method, path in segments, parameters."

  # What it is made of is raw; what it makes has keys, so that secrets are masked.
  use ElixirScope.Instrument, args: false

  require Record

  Record.defrecordp(:mod, Record.extract(:mod, from_lib: "inets/include/httpd.hrl"))

  @enforce_keys [:method, :path, :params]
  defstruct [:method, :path, :params]

  @type t :: %__MODULE__{method: String.t(), path: [String.t()], params: %{String.t() => String.t()}}

  @doc "Reads `:httpd`'s record."
  @spec new(tuple()) :: t()
  def new(mod(method: method, request_uri: uri, entity_body: body)) do
    %__MODULE__{
      method: List.to_string(method),
      path: uri |> List.to_string() |> URI.parse() |> Map.fetch!(:path) |> String.split("/", trim: true),
      params: body |> IO.iodata_to_binary() |> URI.decode_query()
    }
  end
end
