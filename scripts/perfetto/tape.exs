# Records what is known beforehand, writes it to the file that is given, and says what a reader must find in it: one `name count` a line.

[path] = System.argv()

defmodule Tape do
  require ElixirScope.Trace, as: Trace

  def order(n) do
    Trace.span "order", %{n: n} do
      Trace.span "payment #{rem(n, 7)}", %{cents: n} do
        Trace.event(:paid, %{n: n, text: "täglich ; \0", list: Enum.to_list(1..50)})
      end

      Trace.metric(:orders, n, unit: :count)
    end
  end
end

# Room for all in the rings, however slowly they are drained.
:ok = ElixirScope.start(capture: [buffer_size: 400_000, total_bytes: 64 * 1_048_576])
workers = 5
orders = 3_000

recorder = self()

# They live until it is written, so that they have their names.
tasks =
  for worker <- 1..workers do
    Task.async(fn ->
      Process.register(self(), :"worker #{worker}")
      Enum.each(1..orders, &Tape.order/1)
      send(recorder, :recorded)
      receive do: (:written -> :ok)
    end)
  end

events = 6 * workers * orders
for _worker <- 1..workers, do: receive(do: (:recorded -> :ok))
{:ok, %{events: ^events, tracks: ^workers}} = ElixirScope.Export.perfetto(path: path)
Enum.each(tasks, &send(&1.pid, :written))

IO.puts("""
tracks #{workers}
begins #{2 * workers * orders}
ends #{2 * workers * orders}
instants #{workers * orders}
counters #{workers * orders}
""")
