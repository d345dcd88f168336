# Web servers (mochiweb, yaws embedded), a pool of workers, metrics, and lager's parse transform.
{:ok, _} = Application.ensure_all_started(:inets)

get = fn port, path ->
  case :httpc.request(:get, {~c"http://127.0.0.1:#{port}#{path}", []}, [ssl: [], timeout: 20_000],
         body_format: :binary
       ) do
    {:ok, {status, headers, body}} ->
      {status,
       for(
         {name, value} <- headers,
         name in [~c"content-type", ~c"content-length", ~c"set-cookie"],
         do: {name, value}
       ), body}

    other ->
      other
  end
end

mochiweb = fn ->
  loop = fn request ->
    case :mochiweb_request.get(:path, request) do
      ~c"/query" ->
        :mochiweb_request.ok({~c"text/plain", inspect(:mochiweb_request.parse_qs(request))}, request)

      ~c"/chunks" ->
        response = :mochiweb_request.ok({~c"text/plain", [], :chunked}, request)
        for(c <- ["a", "bc", ""], do: :mochiweb_response.write_chunk(c, response))

      ~c"/crash" ->
        raise "crashed"

      _other ->
        :mochiweb_request.not_found(request)
    end
  end

  {:ok, server} = :mochiweb_http.start(name: :scope_mochiweb, port: 0, ip: {127, 0, 0, 1}, loop: loop)
  port = :mochiweb_socket_server.get(server, :port)
  seen = for path <- ["/query?a=1&b=%20x", "/chunks", "/none"], do: get.(port, path)
  many = for(_ <- 1..20, do: Task.async(fn -> get.(port, "/query?n=1") end)) |> Task.await_many(60_000)
  :mochiweb_http.stop(server)

  html =
    for text <- ["<p>a<b>c</p>", "<!DOCTYPE html><div class=x>y</div>", "<br/>"],
        do:
          caught.(fn ->
            :mochiweb_html.parse(text) |> then(&{&1, IO.iodata_to_binary(:mochiweb_html.to_html(&1))})
          end)

  {seen, Enum.uniq(many), html}
end

yaws = fn ->
  dir = Path.join(System.tmp_dir!(), "scope-yaws-#{System.pid()}")
  File.mkdir_p!(dir)
  File.write!(Path.join(dir, "index.html"), "<p>hello</p>")

  File.write!(
    Path.join(dir, "page.yaws"),
    "<html>\n<erl>\nout(A) -> {html, io_lib:format(\"~p\", [yaws_api:parse_query(A)])}.\n</erl>\n</html>\n"
  )

  File.write!(Path.join(dir, "crash.yaws"), "<erl>\nout(_) -> exit(crashed).\n</erl>\n")
  {:ok, socket} = :gen_tcp.listen(0, [])
  {:ok, port} = :inet.port(socket)
  :gen_tcp.close(socket)
  root = String.to_charlist(dir)

  :ok =
    :yaws.start_embedded(
      root,
      [port: port, listen: {127, 0, 0, 1}, servername: ~c"scope"],
      [logdir: root, tmpdir: root, id: ~c"scope", ebin_dir: []],
      ~c"scope"
    )

  seen = for path <- ["/index.html", "/page.yaws?a=1&b=2", "/none", "/page.yaws"], do: get.(port, path)
  :ok = :yaws.stop()
  File.rm_rf!(dir)
  for {status, headers, body} <- seen, do: {status, headers, String.replace(body, "scope:#{port}", "scope")}
end

defmodule Scope.PoolWorker do
  use GenServer
  def start_link(args), do: GenServer.start_link(__MODULE__, args)
  def init(args), do: {:ok, args}
  def handle_call({:double, n}, _from, args), do: {:reply, 2 * n, args}
  def handle_call(:crash, _from, _args), do: exit(:crashed)
end

poolboy = fn ->
  {:ok, pool} = :poolboy.start([worker_module: Scope.PoolWorker, size: 3, max_overflow: 2], [])

  doubled =
    for(n <- 1..50, do: Task.async(fn -> :poolboy.transaction(pool, &GenServer.call(&1, {:double, n})) end))
    |> Task.await_many(60_000)

  held = for _ <- 1..5, do: :poolboy.checkout(pool)

  full =
    {:poolboy.status(pool), :poolboy.checkout(pool, false),
     caught.(fn -> :poolboy.checkout(pool, true, 10) |> then(fn _ -> :got end) end) |> elem(0)}

  for worker <- held, do: :poolboy.checkin(pool, worker)
  crashed = caught.(fn -> :poolboy.transaction(pool, &GenServer.call(&1, :crash)) end) |> elem(0)
  {doubled, full, crashed, :poolboy.stop(pool)}
end

folsom = fn ->
  {:ok, _} = Application.ensure_all_started(:folsom)
  :ok = :folsom_metrics.new_counter(:c)
  :ok = :folsom_metrics.new_histogram(:h, :uniform, 1000)

  for n <- 1..500,
      do:
        (
          :folsom_metrics.notify({:c, {:inc, n}})
          :folsom_metrics.notify({:h, n})
        )

  {:folsom_metrics.get_metric_value(:c), :folsom_metrics.get_histogram_statistics(:h),
   :folsom_metrics.notify({:none, 1}), caught.(fn -> :folsom_metrics.get_metric_value(:none) end)}
end

lager = fn ->
  source =
    ~c"-module(logged). -export([f/1]). f(X) -> lager:info(\"got ~p\", [X]), lager:error([{a, X}], \"oh\"), lager:debug(\"d\"). "

  {:ok, tokens, _} = :erl_scan.string(source)

  forms =
    tokens
    |> Enum.chunk_while(
      [],
      fn t, acc ->
        if(elem(t, 0) == :dot, do: {:cont, Enum.reverse([t | acc]), []}, else: {:cont, [t | acc]})
      end,
      fn _ -> {:cont, []} end
    )
    |> Enum.map(fn form ->
      {:ok, form} = :erl_parse.parse_form(form)
      form
    end)

  caught.(fn ->
    :lager_transform.parse_transform(forms, []) |> Enum.map(&List.to_string(:lists.flatten(:erl_pp.form(&1))))
  end)
end

run = fn -> {mochiweb.(), yaws.(), poolboy.(), folsom.(), lager.()} end

%{apps: [:mochiweb, :yaws, :poolboy, :folsom, :lager], run: run}
