defmodule Shop.Web.Handler do
  @moduledoc """
  `:httpd`'s callback: one call for each request, in the process of the connection.

  Bodies are form-encoded both ways, so that no JSON library is needed.
  """

  # A request comes in raw, with the card's number in its body: masking goes by key, and there is none yet.
  use ElixirScope.Instrument, args: false

  alias Shop.Web.{Request, Routes}

  @doc "Answers one request."
  def unquote(:do)(mod) do
    %Request{method: method, path: path, params: params} = Request.new(mod)
    {route, arguments} = Routes.match(method, path)
    {status, fields} = Routes.run(route, arguments, params)
    {:proceed, [response: {:response, head(status, fields), URI.encode_query(fields)}]}
  end

  defp head(status, fields) do
    length = fields |> URI.encode_query() |> byte_size()

    [
      code: status,
      content_type: ~c"application/x-www-form-urlencoded",
      content_length: Integer.to_charlist(length)
    ]
  end
end
