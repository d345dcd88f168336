defmodule Shop.Web.Handler do
  @moduledoc """
  `:httpd`'s callback: one call for each request, in the process of the connection.

  Bodies are form-encoded both ways, so that no JSON library is needed.
  """

  alias Shop.Web.{Request, Routes}
  require ElixirScope.Trace, as: Trace

  @doc "Answers one request."
  def unquote(:do)(mod) do
    %Request{method: method, path: path, params: params} = Request.new(mod)
    {route, arguments} = Routes.match(method, path)

    Trace.span "http.request", %{route: route, path: path, params: params} do
      {status, fields} = Routes.run(route, arguments, params)
      Trace.event(:http_response, %{route: route, status: status})
      {:proceed, [response: {:response, head(status, fields), URI.encode_query(fields)}]}
    end
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
