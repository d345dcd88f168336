defmodule Shop.SafetyTest do
  # Everything on the node is traced while it is at its limits. The shop goes on answering, memory stays within what was configured, traces end
  # at their limits, the guard thins recording and takes that back, and nothing of it is left in the VM.
  use ExUnit.Case

  alias Shop.Load
  alias Shop.Load.{Client, Ledger}

  @moduletag timeout: 180_000

  @store 16 * 1024 * 1024
  @rings 8 * 1024 * 1024
  @storm 100_000
  @unlimited [for: 100_000, max: 1_000_000_000, rate: 100_000_000]
  @events [:send, :receive, :procs, :gc, :call, :return, :exception]

  setup do
    recorder = Application.fetch_env!(:shop, :recorder)

    on_exit(fn ->
      ElixirScope.untrace(:all)
      restart(recorder)
    end)

    restart(
      storage: [memory_limit: @store],
      capture: [total_bytes: @rings, buffer_size: 20_000],
      guard: [max_run_queue: 64, max_loss: :infinity, max_cpu_share: :infinity, max_memory_bytes: :infinity]
    )
  end

  defp restart(recorder) do
    :ok = Application.stop(:shop)
    Application.put_env(:shop, :recorder, recorder)
    :ok = Application.start(:shop)
  end

  test "a storm of processes and messages of a megabyte, all of it traced, under full load" do
    load = load()
    memory = watch_memory()
    {:ok, steps} = ElixirScope.subscribe_to_events(event_type: :trace_control)
    assert {:ok, ref} = trace_all(@unlimited)
    senders = for _ <- 1..2, do: big_messages()
    Enum.find(1..5, fn _ -> storm(@storm) && ElixirScope.status().guard.steps != [] end)
    for sender <- senders, do: stop(sender)
    until(fn -> ElixirScope.status().guard.level == :full end)
    ElixirScope.untrace(:all)
    assert left() == []

    # The guard went up step by step while the storm blew, and came down again; each step is on the tape.
    told = for {from, to, why} <- told(steps), do: {from, to, why}

    assert told ==
             for(
               step <- Enum.reverse(ElixirScope.status().guard.steps),
               do: {step.from, step.to, reason(step.why)}
             )

    assert {:full, :no_payloads, :max_run_queue} = hd(told)
    assert {:no_payloads, :full, :calm} = List.last(told)
    %{reason: reason, recorded: recorded} = Enum.find(ElixirScope.status().ended_traces, &(&1.ref == ref))
    assert reason == if(Enum.any?(told, &match?({_from, :no_traces, _why}, &1)), do: :guard, else: :stopped)
    assert recorded > 10_000

    assert_within_limits(stop_memory(memory))
    assert_answered("a storm", stop_load(load))
  end

  test "every limit ends a trace of everything under full load, and leaves nothing" do
    ElixirScope.update_config([:guard, :max_run_queue], :infinity)
    load = load()
    memory = watch_memory()

    for {limit, reason} <- [{[max: 5_000], :max}, {[rate: 2_000], :rate}, {[for: 400], :for}], _ <- 1..2 do
      assert {:ok, ref} = trace_all(Keyword.merge(@unlimited, limit))
      ended = until(fn -> Enum.find(ElixirScope.status().ended_traces, &(&1.ref == ref)) end)
      assert ended.reason == reason
      if limit[:max], do: assert(ended.recorded == 5_000)
      assert left() == []
    end

    assert_within_limits(stop_memory(memory))
    assert_answered("traces that end", stop_load(load))
  end

  test "processes are killed, modules reloaded, the recorder stopped and started, and somebody else traces, under load" do
    {subject, told} = trace_by_somebody_else()
    customers = for _ <- 1..4, do: customer()

    harm =
      Enum.map(
        [&kill_shop/0, &kill_ours/0, &reload/0, &stop_and_start/0, &trace_something/0],
        &again_and_again(&1, 25)
      )

    for {pid, monitor} <- harm, do: assert_receive({:DOWN, ^monitor, :process, ^pid, :normal}, 90_000)
    assert_answered("harm", Enum.map(customers, &stop_load/1))

    # Ours is gone, and what somebody else had is as it was.
    :ok = ElixirScope.start()
    until(fn -> ElixirScope.untrace(:all) == :ok end)
    until(fn -> left() == [subject, {Ledger, :keep, 1}] end)
    for n <- 1..10, do: send(subject, {:later, n})
    until(fn -> :ets.lookup(told, {:later, 10}) != [] end)
    assert :ets.info(told, :size) == 20

    # All works as ever.
    assert {:ok, ref} = trace_all(max: 500)
    assert until(fn -> Enum.find(ElixirScope.status().ended_traces, &(&1.ref == ref)) end).reason == :max
    until(fn -> left() == [subject, {Ledger, :keep, 1}] end)
    stop_somebody_else()
    assert left() == []
  end

  # -- The load -----------------------------------------------------------------------------------------------------------------

  # Buys, again and again, until it is stopped: answers a ledger of its own, since no recorder may be there.
  defp customer do
    running = :atomics.new(1, [])
    {running, Task.async(fn -> %{entries: buy(running, Client.connect(Shop.Web.port()), [])} end)}
  end

  defp buy(running, socket, entries) do
    {cart, opening} = ask(socket, "POST", "/carts", [])
    cart = cart["cart"]
    payment = [card_number: "4929000123456789", cvv: "737", postcode: "AB1 2CD"]
    {_, adding} = ask(socket, "POST", "/carts/#{cart}/items", sku: "tea", units: 1)
    {_, paying} = ask(socket, "POST", "/carts/#{cart}/checkout", payment)
    entries = [opening, adding, paying | entries]
    if :atomics.get(running, 1) == 0, do: buy(running, socket, entries), else: entries
  end

  defp ask(socket, method, path, params) do
    began = System.monotonic_time(:nanosecond)
    {status, answer} = Client.request(socket, method, path, params)
    {answer, %{status: status, duration_ns: System.monotonic_time(:nanosecond) - began}}
  end

  # Ledgers, one after the other, until it is stopped.
  defp load do
    running = :atomics.new(1, [])
    {running, Task.async(fn -> ledgers(running, 1) end)}
  end

  defp ledgers(running, seed) do
    ledger = Load.run(requests: 300, shoppers: 8, seed: seed)
    if :atomics.get(running, 1) == 0, do: [ledger | ledgers(running, seed + 1)], else: [ledger]
  end

  defp stop_load({running, task}) do
    :atomics.put(running, 1, 1)
    Task.await(task, 120_000)
  end

  # All were answered, and within a time that a shopper waits; the figures are said.
  defp assert_answered(what, ledgers) do
    entries = Enum.flat_map(ledgers, & &1.entries)
    times = entries |> Enum.map(& &1.duration_ns) |> Enum.sort()
    at = fn part -> Float.round(Enum.at(times, trunc(part * (length(times) - 1))) / 1.0e6, 2) end

    IO.puts(
      "\nshop under #{what}: #{length(times)} requests, min #{at.(0)} ms, median #{at.(0.5)} ms, p99 #{at.(0.99)} ms"
    )

    assert at.(0.99) < 2_000
  end

  # -- What goes on besides -------------------------------------------------------------------------------------------------------

  defp big_messages do
    spawn(fn ->
      sink = spawn_link(fn -> sink() end)
      terms = [:binary.copy(<<7>>, 1_000_000), Enum.to_list(1..60_000), Map.new(1..20_000, &{&1, "#{&1}"})]
      send_all(sink, terms)
    end)
  end

  defp send_all(sink, terms) do
    for term <- terms, do: send(sink, {self(), term})
    receive do: (:go_on -> send_all(sink, terms))
  end

  defp sink do
    receive do
      {from, _first} ->
        for _ <- 1..2, do: receive(do: ({^from, _} -> :ok))
        send(from, :go_on)
        sink()
    end
  end

  defp stop(pid) do
    monitor = Process.monitor(pid)
    Process.exit(pid, :kill)
    receive do: ({:DOWN, ^monitor, _, _, _} -> :ok)
  end

  defp storm(count) do
    me = self()
    for _ <- 1..count, do: spawn(fn -> send(me, :lived) end)
    Enum.each(1..count, fn _ -> receive(do: (:lived -> :ok)) end)
  end

  defp trace_all(limits) do
    ElixirScope.trace(
      :all,
      [events: @events, functions: [{:module, Client}, {:module, :httpd_request}, {URI, :decode_query, 1}]] ++
        limits
    )
  end

  # -- What may go wrong ------------------------------------------------------------------------------------------------------------

  defp again_and_again(harm, times) do
    spawn_monitor(fn ->
      for _ <- 1..times do
        harm.()
        # and something may come of it
        Process.sleep(40 + :rand.uniform(80))
      end
    end)
  end

  # The dispatcher, which is started again, and a cart that nobody waits for.
  defp kill_shop do
    {:ok, cart} = Shop.Carts.Names.whereis(Shop.open_cart())
    for pid <- [cart | List.wrap(Process.whereis(Shop.Dispatcher))], do: Process.exit(pid, :kill)
  end

  defp kill_ours do
    with pid when is_pid(pid) <-
           Process.whereis(Enum.random([ElixirScope.Tracing.Server, ElixirScope.Guard])),
         do: Process.exit(pid, :kill)
  end

  defp reload do
    for module <- [Client, Shop.Load.Plan, URI],
        :code.soft_purge(module),
        do: {:module, ^module} = :code.load_file(module)
  end

  defp stop_and_start do
    ElixirScope.stop()
    ElixirScope.start(storage: [memory_limit: @store], capture: [total_bytes: @rings])
  end

  defp trace_something do
    limits = Enum.random([[max: 200], [for: 20], [rate: 500], []])
    target = Enum.random([:all, :new, {:app, :inets}, {:tree, Shop.Supervisor}])

    ElixirScope.trace(
      target,
      [events: @events, functions: [{:module, URI}, {Client, :request, 4}], force: true] ++ limits
    )
  end

  # -- Somebody else ----------------------------------------------------------------------------------------------------------------

  # Traces a process of his own, and a function, with `:dbg`.
  defp trace_by_somebody_else do
    told = :ets.new(:told, [:public])
    subject = spawn_link(fn -> drain() end)
    {:module, Ledger} = Code.ensure_loaded(Ledger)

    hear = fn message, told ->
      with({:trace, _, :receive, got} <- message, do: :ets.insert(told, {got})) && told
    end

    {:ok, _dbg} = :dbg.tracer(:process, {hear, told})
    {:ok, _} = :dbg.p(subject, [:receive])
    {:ok, [{:matched, _node, 1}]} = :dbg.tpl(Ledger, :keep, 1, [])
    for n <- 1..10, do: send(subject, {:before, n})
    until(fn -> :ets.lookup(told, {:before, 10}) != [] end)
    {subject, told}
  end

  defp drain, do: receive(do: (_any -> drain()))

  defp stop_somebody_else do
    :dbg.ctpl()
    :dbg.stop()
  end

  # -- Memory -------------------------------------------------------------------------------------------------------------------------

  defp watch_memory do
    running = :atomics.new(1, [])
    {running, Task.async(fn -> looks(running, []) end)}
  end

  defp looks(running, looks) do
    %{capture: capture, store: store} = ElixirScope.status()
    look = {capture.bytes, store.bytes.total}
    Process.sleep(10)
    if :atomics.get(running, 1) == 0, do: looks(running, [look | looks]), else: [look | looks]
  end

  defp stop_memory({running, task}) do
    :atomics.put(running, 1, 1)
    Task.await(task, 30_000)
  end

  defp assert_within_limits(looks) do
    assert length(looks) > 20
    assert looks |> Enum.map(&elem(&1, 0)) |> Enum.max() <= @rings
    assert looks |> Enum.map(&elem(&1, 1)) |> Enum.max() <= @store
  end

  # -- What the guard did ---------------------------------------------------------------------------------------------------------

  defp reason(%{bound: bound}), do: bound
  defp reason(:calm), do: :calm

  # The steps that a subscription was told of.
  defp told(subscription) do
    # What comes last, so that all before it is here.
    until(fn ->
      {:messages, messages} = Process.info(self(), :messages)

      Enum.any?(
        messages,
        &match?({:elixir_scope_event, %{operation: :guard, reason: :calm, target: :full}}, &1)
      )
    end)

    ElixirScope.unsubscribe(subscription)
    for %{operation: :guard} = event <- received(), do: {event.limits.from, event.target, event.reason}
  end

  defp received do
    receive do
      {:elixir_scope_event, event} -> [event | received()]
    after
      0 -> []
    end
  end

  # -- What is left in the VM -------------------------------------------------------------------------------------------------------

  defp left do
    functions =
      for {module, _file} <- :code.all_loaded(), {name, arity} <- functions(module), do: {module, name, arity}

    Enum.filter([:new_processes | Process.list()], &flagged?/1) ++ Enum.filter(functions, &patterned?/1)
  end

  defp functions(module) do
    :erlang.get_module_info(module, :functions)
  rescue
    ArgumentError -> []
  end

  # Where the VM has sessions, ours is none of the classic interface's.
  defp flagged?(:new_processes), do: flags?(:new_processes) or session?(:new)
  defp flagged?(pid), do: flags?(pid) or session?(pid)

  defp flags?(who), do: match?({:flags, [_ | _]}, :erlang.trace_info(who, :flags))

  defp patterned?(function) do
    match?({:traced, kind} when kind not in [false, :undefined], :erlang.trace_info(function, :traced)) or
      session?(function)
  end

  defp session?(what) do
    sessions =
      if function_exported?(:erts_internal, :trace_session_create, 3),
        do: apply(:trace, :session_info, [what]),
        else: []

    is_list(sessions) and Enum.any?(sessions, &(not match?({:legacy, _}, &1)))
  end

  defp until(condition, left_ms \\ 30_000) do
    cond do
      answer = condition.() -> answer
      left_ms <= 0 -> flunk("waited in vain")
      true -> Process.sleep(10) && until(condition, left_ms - 10)
    end
  end
end
