# A node whose resident memory is measured: `elixir -pa EBIN node.exs bare|idle|used EVENTS`. Whatever is used, all kinds of
# node do the same but for the recorder.

[kind, events] = System.argv()
events = String.to_integer(events)

defmodule Bench.Node do
  def resident do
    [_, kib] = Regex.run(~r/^VmRSS:\s+(\d+) kB$/m, File.read!("/proc/self/status"))
    String.to_integer(kib) * 1_024
  end

  # Entries and exits from a process on each scheduler, in pieces that fit into the default rings.
  def record(events) do
    workers = System.schedulers_online()
    pieces = div(events, workers * 10_000)

    for _ <- 1..workers do
      Task.async(fn -> for _ <- 1..pieces, do: piece(5_000) end)
    end
    |> Task.await_many(:infinity)

    2 * 5_000 * pieces * workers
  end

  defp piece(0) do
    0 = apply(ElixirScope, :count_events, [[before: 1]])
    :ok
  end

  defp piece(n) do
    token = apply(ElixirScope.Native, :enter_3, [site(), n, :card, "0123456789"])
    apply(ElixirScope.Native, :exit, [site(), token, :ok])
    piece(n - 1)
  end

  defp site, do: {0x0BEC, {__MODULE__, :piece, 3, "bench/support/node.exs", 1, 1, [:count, :kind, :name]}}
end

unless kind == "bare" do
  {:ok, _} = apply(Application, :ensure_all_started, [:elixir_scope])
  :ok = apply(ElixirScope, :start, [[]])
end

if kind == "used" do
  recorded = Bench.Node.record(events)
  status = apply(ElixirScope, :status, [])
  lost = status.capture.lost |> Map.values() |> Enum.sum()

  unless status.store.events + status.store.evicted + lost >= recorded do
    raise "#{recorded} events were recorded, but the status says #{inspect(status.store)}"
  end
end

# what the script itself left on heaps is no part of the library
Enum.each(Process.list(), &:erlang.garbage_collect/1)

receive do
after
  500 -> IO.puts("resident #{Bench.Node.resident()}")
end
