# RabbitMQ and its Erlang client, over TCP: classic, quorum and stream queues, transactions, confirms, errors of a channel,
# a connection that is closed, an alarm, a queue that crashes, and a restart of the broker.
folder = System.fetch_env!("SCOPE_PROGRAMS")
[home] = Path.wildcard(Path.join(folder, "usr/lib/rabbitmq/lib/rabbitmq_server-*"))
[include] = Path.wildcard(Path.join(home, "plugins/rabbit_common-*/include/rabbit_framing.hrl"))
[client] = Path.wildcard(Path.join(home, "plugins/amqp_client-*/include/amqp_client.hrl"))

record = fn name, fields ->
  all = Record.extract(name, from: if(name in [:amqp_msg, :amqp_params_network], do: client, else: include))
  List.to_tuple([name | for({key, default} <- all, do: Keyword.get(fields, key, default))])
end

call = fn channel, name, fields -> :amqp_channel.call(channel, record.(name, fields)) end

message = fn payload, fields ->
  record.(:amqp_msg, props: record.(:P_basic, fields), payload: payload)
end

publish = fn channel, exchange, key, message ->
  :amqp_channel.call(
    channel,
    record.(:"basic.publish", exchange: exchange, routing_key: key, mandatory: true),
    message
  )
end

payload = fn {:amqp_msg, _props, payload} -> payload end

get = fn channel, queue ->
  case call.(channel, :"basic.get", queue: queue, no_ack: false) do
    {{:"basic.get_ok", tag, again, exchange, key, left}, message} ->
      {tag, {again, exchange, key, left, payload.(message)}}

    {:"basic.get_empty", _} ->
      :empty
  end
end

# All that is left in a queue.
drain = fn channel, queue ->
  Stream.repeatedly(fn -> get.(channel, queue) end)
  |> Stream.take_while(&(&1 != :empty))
  |> Enum.map(fn {tag, seen} ->
    :ok = call.(channel, :"basic.ack", delivery_tag: tag)
    seen
  end)
end

# What a consumer of ours is given, with the tags that it acknowledges.
deliveries = fn count ->
  for _ <- 1..count//1 do
    receive do
      {{:"basic.deliver", _consumer, tag, again, _exchange, key}, message} ->
        {tag, {again, key, payload.(message)}}
    after
      30_000 -> raise "no delivery: #{inspect(Process.info(self(), :messages))}"
    end
  end
end

consume = fn channel, queue, arguments ->
  {:"basic.qos_ok"} = call.(channel, :"basic.qos", prefetch_count: 100)
  subscription = record.(:"basic.consume", queue: queue, arguments: arguments)
  {:"basic.consume_ok", tag} = :amqp_channel.subscribe(channel, subscription, self())
  receive do: ({:"basic.consume_ok", ^tag} -> tag)
end

declare = fn channel, name, kind ->
  arguments = [{"x-queue-type", :longstr, kind}]
  call.(channel, :"queue.declare", queue: name, durable: true, arguments: arguments)
end

ended = fn pid ->
  monitor = Process.monitor(pid)
  receive do: ({:DOWN, ^monitor, _, _, reason} -> reason)
end

trapped = fn fun ->
  try do
    fun.()
  catch
    kind, reason -> {kind, reason}
  end
end

queue = fn kind ->
  fn connection, channel, count ->
    declared = declare.(channel, kind, kind)

    {:"exchange.declare_ok"} =
      call.(channel, :"exchange.declare", exchange: "x", type: "topic", durable: true)

    {:"queue.bind_ok"} =
      call.(channel, :"queue.bind", queue: kind, exchange: "x", routing_key: "to.#{kind}.#")

    {:"confirm.select_ok"} = call.(channel, :"confirm.select", [])

    for n <- 1..count,
        do: :ok = publish.(channel, "x", "to.#{kind}.#{rem(n, 3)}", message.("m#{n}", delivery_mode: 2))

    confirmed = :amqp_channel.wait_for_confirms(channel, 60)

    {:ok, other} = :amqp_connection.open_channel(connection)
    offset = if kind == "stream", do: [{"x-stream-offset", :longstr, "first"}], else: []
    tag = consume.(other, kind, offset)
    seen = deliveries.(min(count, 60))
    {tags, told} = Enum.unzip(seen)

    for {tag, n} <- Enum.with_index(tags) do
      cond do
        kind == "stream" or rem(n, 3) == 0 -> call.(other, :"basic.ack", delivery_tag: tag)
        rem(n, 3) == 1 -> call.(other, :"basic.reject", delivery_tag: tag, requeue: false)
        true -> call.(other, :"basic.nack", delivery_tag: tag, requeue: n < 10)
      end
    end

    {:"basic.cancel_ok", ^tag} = call.(other, :"basic.cancel", consumer_tag: tag)
    :ok = :amqp_channel.close(other)
    left = if kind == "stream", do: [], else: Enum.sort(Enum.map(drain.(channel, kind), &elem(&1, 4)))
    :ok = publish.(channel, "", kind, message.("kept", delivery_mode: 2))
    true = :amqp_channel.wait_for_confirms(channel, 60)

    flush = fn flush ->
      receive do: ({{:"basic.deliver", _, _, _, _, _}, _} -> flush.(flush)), after: (0 -> :ok)
    end

    flush.(flush)
    {declared, confirmed, told, length(left)}
  end
end

# Of each living process of RabbitMQ's own server behaviour: whether the tape has the state that it really has.
states = fn ->
  servers = [
    :rabbit_channel,
    :rabbit_amqqueue_process,
    :rabbit_limiter,
    :rabbit_msg_store,
    :rabbit_node_monitor,
    :worker_pool
  ]

  for module <- servers,
      pid <-
        Enum.uniq(
          for e <-
                ElixirScope.get_events(
                  event_type: :state_change,
                  module: module,
                  limit: :infinity,
                  payload: false
                ),
              do: e.pid
        ),
      Process.alive?(pid) do
    real = elem(:sys.get_state(pid), 3)

    case ElixirScope.fetch_state_at(pid, ElixirScope.now(), module: module) do
      {:ok, ^real, %{quality: quality}} ->
        {module, :same, quality}

      {:ok, other, %{quality: quality}} ->
        {module, :other, quality,
         for({a, b} <- Enum.zip(Tuple.to_list(real), Tuple.to_list(other)), a !== b, do: {a, b})}

      other ->
        {module, other}
    end
  end
end

work = fn params ->
  {:ok, connection} = :amqp_connection.start(params)
  {:ok, channel} = :amqp_connection.open_channel(connection)
  queues = for kind <- ["classic", "quorum", "stream"], do: queue.(kind).(connection, channel, 100)

  # a message that no queue takes comes back
  :ok = :amqp_channel.register_return_handler(channel, self())
  :ok = publish.(channel, "x", "nowhere", message.("lost", []))
  returned = receive do: ({{:"basic.return", code, text, _, _}, lost} -> {code, text, payload.(lost)})

  # a transaction rolled back, and one that is not
  {:ok, tx} = :amqp_connection.open_channel(connection)
  {:"tx.select_ok"} = call.(tx, :"tx.select", [])
  {:"queue.declare_ok", "tx", 0, 0} = call.(tx, :"queue.declare", queue: "tx")
  :ok = publish.(tx, "", "tx", message.("no", []))
  {:"tx.rollback_ok"} = call.(tx, :"tx.rollback", [])
  :ok = publish.(tx, "", "tx", message.("yes", headers: [{"n", :long, 1}], priority: 3))
  {:"tx.commit_ok"} = call.(tx, :"tx.commit", [])
  committed = get.(tx, "tx")

  # errors end a channel, not its connection
  errors =
    for {name, fields} <- [
          {:"queue.declare", [queue: "none", passive: true]},
          {:"queue.declare", [queue: "classic", durable: false]},
          {:"basic.ack", [delivery_tag: 77]},
          {:"queue.bind", [queue: "classic", exchange: "none"]},
          {:"queue.delete", [queue: "classic", if_empty: true]}
        ] do
      {:ok, broken} = :amqp_connection.open_channel(connection)
      # the cause is an exit here, or tells itself when the channel ends
      monitor = Process.monitor(broken)
      said = trapped.(fn -> call.(broken, name, fields) end)
      reason = receive do: ({:DOWN, ^monitor, _, _, reason} -> reason)
      {if(said == :ok, do: :ok, else: elem(said, 0)), reason}
    end

  # memory runs short: who publishes is told to wait
  :ok = :amqp_connection.register_blocked_handler(connection, self())
  :rabbit_alarm.set_alarm({{:resource_limit, :memory, node()}, []})
  :ok = publish.(channel, "", "classic", message.("while blocked", delivery_mode: 2))
  blocked = receive do: ({:"connection.blocked", why} -> why), after: (20_000 -> :never)
  :rabbit_alarm.clear_alarm({:resource_limit, :memory, node()})
  unblocked = receive do: ({:"connection.unblocked"} -> :yes), after: (20_000 -> :never)
  true = :amqp_channel.wait_for_confirms(channel, 60)

  # the process of a durable queue is killed, and comes again with what it had
  name = :rabbit_misc.r("/", :queue, "classic")
  {:ok, found} = :rabbit_amqqueue.lookup(name)
  pid = :amqqueue.get_pid(found)
  Process.exit(pid, :kill)
  :killed = (Process.info(pid) == nil && :killed) || (ended.(pid) && :killed)

  wait = fn wait ->
    case trapped.(fn -> call.(channel, :"queue.declare", queue: "classic", durable: true, passive: true) end) do
      {:"queue.declare_ok", "classic", count, 0} -> count
      _other -> wait.(wait)
    end
  end

  survived = wait.(wait)

  # a connection that the broker closes
  {:ok, other} = :amqp_connection.start(params)
  Process.unlink(other)
  {:ok, _channel} = :amqp_connection.open_channel(other)
  monitor = Process.monitor(other)

  for one <- :rabbit_networking.connections(),
      :rabbit_networking.connection_info(one, [:state]) == [state: :running],
      port_of = :rabbit_networking.connection_info(one, [:peer_port]),
      {:ok, {_, mine}} = :inet.sockname(:amqp_connection.info(other, [:sock])[:sock]),
      port_of[:peer_port] == mine,
      do: :rabbit_networking.close_connection(one, "by the test")

  closed = receive do: ({:DOWN, ^monitor, _, _, reason} -> reason)

  # an error that ends it
  {:ok, third} = :amqp_connection.start(params)
  Process.unlink(third)
  {:ok, broken} = :amqp_connection.open_channel(third)
  monitor = Process.monitor(third)
  _said = trapped.(fn -> call.(broken, :"exchange.declare", exchange: "y", type: "no such type") end)
  failed = receive do: ({:DOWN, ^monitor, _, _, reason} -> reason)

  # refused at the door
  refused = [
    :amqp_connection.start(put_elem(params, 2, "wrong")),
    :amqp_connection.start(put_elem(params, 3, "no vhost"))
  ]

  if ElixirScope.running?(), do: :persistent_term.put(:states, states.())
  :ok = :amqp_connection.close(connection)
  {queues, returned, committed, errors, blocked, unblocked, survived, closed, failed, refused}
end

run = fn ->
  dir = Path.join(System.tmp_dir!(), "scope-rabbit-#{System.pid()}")
  File.mkdir_p!(dir)
  {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
  {:ok, port} = :inet.port(socket)
  :gen_tcp.close(socket)

  System.put_env(%{
    "RABBITMQ_HOME" => home,
    "RABBITMQ_NODENAME" => Atom.to_string(node()),
    "RABBITMQ_NODE_PORT" => "#{port}",
    "RABBITMQ_NODE_IP_ADDRESS" => "127.0.0.1",
    "RABBITMQ_CONF_ENV_FILE" => Path.join(dir, "none"),
    "RABBITMQ_CONFIG_FILE" => Path.join(dir, "none"),
    "RABBITMQ_ADVANCED_CONFIG_FILE" => Path.join(dir, "none"),
    "RABBITMQ_ENABLED_PLUGINS_FILE" => Path.join(dir, "none"),
    "RABBITMQ_PLUGINS_DIR" => Path.join(home, "plugins"),
    "RABBITMQ_MNESIA_BASE" => dir,
    "RABBITMQ_LOG_BASE" => Path.join(dir, "log"),
    "RABBITMQ_GENERATED_CONFIG_DIR" => Path.join(dir, "config"),
    "RABBITMQ_PID_FILE" => Path.join(dir, "pid")
  })

  # the broker puts filters on OTP's handler, which Elixir's logger has taken away
  _already =
    :logger.add_handler(:default, :logger_std_h, %{level: :none, config: %{type: {:file, ~c"/dev/null"}}})

  :ok = :rabbit.start()
  {:ok, _} = Application.ensure_all_started(:amqp_client)
  params = record.(:amqp_params_network, port: port, host: ~c"127.0.0.1", socket_options: [nodelay: true])
  before = work.(params)
  :ok = :rabbit.stop()
  :ok = :rabbit.start()
  {:ok, connection} = :amqp_connection.start(params)
  {:ok, channel} = :amqp_connection.open_channel(connection)
  again = for queue <- ["classic", "quorum"], do: drain.(channel, queue)
  :ok = :amqp_connection.close(connection)
  :ok = :rabbit.stop()
  File.rm_rf!(dir)
  {before, again}
end

%{
  apps: [
    :rabbit,
    :rabbit_common,
    :ra,
    :ranch,
    :amqp_client,
    :osiris,
    :rabbitmq_prelaunch,
    :aten,
    :gen_batch_server,
    :seshat
  ],
  run: run,
  check: fn -> Enum.frequencies(:persistent_term.get(:states)) end
}
