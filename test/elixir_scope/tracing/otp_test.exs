defmodule ElixirScope.Tracing.OtpTest do
  use ElixirScope.Test.RecorderCase

  # Programs that nobody wrote for this: nothing breaks in them, and what is on the tape fits together.

  import ElixirScope.Test.Traces

  @recorder [
    capture: [buffer_size: 200_000, total_bytes: 128 * 1_048_576],
    storage: [memory_limit: 256 * 1_048_576]
  ]
  @limits [for: 60_000, max: 500_000, rate: 500_000]

  setup do
    ElixirScope.stop()
    :ok = ElixirScope.start(@recorder)
    on_exit(&assert_nothing_left/0)
  end

  # Between traced processes each arrival is that of the one send that it names; answers how many there were.
  defp assert_pairs_match do
    assert ElixirScope.status().capture.lost == %{}
    sends = Map.new(all_events(event_type: :message_send), &{&1.id, &1})
    senders = MapSet.new(sends, fn {_id, sent} -> sent.sender_pid end)
    born = MapSet.new(all_events(event_type: :process_spawn), & &1.spawned_pid)

    # of the others the sending may have been before the trace
    inside =
      for %{sender_pid: from} = got <- all_events(event_type: :message_receive),
          from in senders and from in born,
          # told by the VM when its sender is no more
          not match?({:DOWN, _, _, _, _}, got.message) and not match?({:EXIT, _, _}, got.message),
          do: got

    for got <- inside do
      sent = Map.fetch!(sends, got.message_id)
      assert {sent.sender_pid, sent.message} == {got.sender_pid, got.message}
      assert sent.receiver_pid in [got.receiver_pid, nil]
      assert sent.timestamp <= got.timestamp
    end

    assert length(Enum.uniq_by(inside, & &1.message_id)) == length(inside)
    length(inside)
  end

  defp assert_lives_fit do
    born = Map.new(all_events(event_type: :process_spawn), &{&1.spawned_pid, &1})

    for %{pid: pid} = ended when is_map_key(born, pid) <- all_events(event_type: :process_exit) do
      assert ended.lifetime_ns == ended.timestamp - born[pid].timestamp
    end

    map_size(born)
  end

  test "mnesia, under transactions of many processes" do
    :ok = :mnesia.start()
    on_exit(fn -> :stopped = :mnesia.stop() end)
    {:atomic, :ok} = :mnesia.create_table(:es_account, attributes: [:id, :cents], ram_copies: [node()])
    for id <- 1..5, do: :ok = :mnesia.dirty_write({:es_account, id, 1_000})

    {:ok, ref} = ElixirScope.trace({:app, :mnesia}, [follow: :message] ++ @limits)

    move = fn n ->
      {:atomic, :ok} =
        :mnesia.transaction(fn ->
          [from, to] = [rem(n, 5) + 1, rem(n + 1, 5) + 1]
          [{_, _, a}] = :mnesia.wread({:es_account, from})
          [{_, _, b}] = :mnesia.wread({:es_account, to})
          :mnesia.write({:es_account, from, a - n})
          :mnesia.write({:es_account, to, b + n})
        end)
    end

    1..200 |> Task.async_stream(move, max_concurrency: 8) |> Enum.each(fn {:ok, {:atomic, :ok}} -> :ok end)
    assert :mnesia.dirty_select(:es_account, [{{:_, :_, :"$1"}, [], [:"$1"]}]) |> Enum.sum() == 5_000
    assert ElixirScope.untrace(ref) == :ok
    assert hd(ElixirScope.status().ended_traces).reason == :stopped

    locker = Process.whereis(:mnesia_locker)
    requests = ElixirScope.get_message_flow(:all, locker, limit: :infinity)
    assert length(requests) >= 400

    # what was under way at the end has not arrived, and nothing before that is missing
    for {_sender, sent} <- Enum.group_by(requests, & &1.sender_pid) do
      arrived = sent |> Enum.reverse() |> Enum.drop_while(&(&1.received_at == nil))
      assert Enum.all?(arrived, & &1.received_at)
    end

    assert Enum.count(requests, & &1.received_at) >= 400
  end

  test ":httpd, under load" do
    {:ok, _started} = Application.ensure_all_started(:inets)
    root = System.tmp_dir!() |> String.to_charlist()

    {:ok, httpd} =
      :inets.start(:httpd,
        port: 0,
        server_name: ~c"es",
        server_root: root,
        document_root: root,
        bind_address: {127, 0, 0, 1}
      )

    on_exit(fn -> :inets.stop(:httpd, httpd) end)
    port = :httpd.info(httpd)[:port]
    {:ok, ref} = ElixirScope.trace({:app, :inets}, @limits)

    statuses =
      1..200
      |> Task.async_stream(
        fn n ->
          {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false])
          :ok = :gen_tcp.send(socket, "GET /no_such_#{n} HTTP/1.0\r\n\r\n")
          {:ok, "HTTP/1." <> <<_minor, " ", status::binary-3>> <> _rest} = :gen_tcp.recv(socket, 0)
          :gen_tcp.close(socket)
          status
        end,
        max_concurrency: 4,
        timeout: 30_000
      )
      |> Enum.map(fn {:ok, status} -> status end)

    assert Enum.uniq(statuses) == ["404"]
    assert ElixirScope.untrace(ref) == :ok
    assert assert_lives_fit() > 0
    assert assert_pairs_match() > 0
  end

  test "the compiler, with many files at once" do
    folder = Path.join(System.tmp_dir!(), "elixir_scope_compiled_#{System.unique_integer([:positive])}")
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)

    files =
      for n <- 1..30 do
        path = Path.join(folder, "m#{n}.ex")
        next = if n < 30, do: "ElixirScopeTest.Compiled.M#{n + 1}.value() + 1", else: "1"

        File.write!(
          path,
          "defmodule ElixirScopeTest.Compiled.M#{n} do\n  @value #{next}\n  def value, do: @value\nend\n"
        )

        path
      end

    worker = worker()
    {:ok, ref} = ElixirScope.trace(worker, [follow: :spawn] ++ @limits)
    compile = fn -> Kernel.ParallelCompiler.compile(files, return_diagnostics: true) end
    {:ok, modules, told} = run(worker, compile)
    # a list before Elixir 1.15
    assert told in [[], %{compile_warnings: [], runtime_warnings: []}]
    assert ElixirScope.untrace(ref) == :ok
    assert length(modules) == 30
    assert apply(ElixirScopeTest.Compiled.M1, :value, []) == 30

    for module <- modules do
      :code.purge(module)
      :code.delete(module)
    end

    assert assert_lives_fit() >= 30
    assert assert_pairs_match() > 60
  end
end
