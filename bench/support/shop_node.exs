# A node of the example shop, for bench/shop.exs: run in the shop's project, it tells its port, and then, for each line that it reads,
# what the node has used and recorded. `begin` and `end` stand around a batch of requests.

Code.require_file("machine.ex", __DIR__)

defmodule Bench.ShopNode do
  @moduledoc false

  alias Bench.Machine

  def run do
    # the dispatcher's crashes are part of the play
    Logger.configure(level: :none)
    if running?(), do: unguard()
    say("ready #{apply(Shop.Web, :port, [])}")
    loop(nil)
  end

  defp loop(since) do
    case IO.gets("") do
      "begin\n" ->
        settle()
        # before the answer: then the requests come
        since = if running?(), do: ElixirScope.now()
        say("cpu #{cpu()}")
        loop(since)

      "end\n" ->
        settle()
        say("cpu #{cpu()} tape #{tape(since)}")
        loop(nil)

      _end ->
        System.halt(0)
    end
  end

  # What recording costs is asked, and not what a guard leaves of it.
  defp unguard do
    for key <- [:max_run_queue, :max_memory_bytes, :max_cpu_share, :max_loss] do
      :ok = ElixirScope.update_config([:guard, key], :infinity)
    end
  end

  # Nothing is left to be sent out, or in the rings.
  defp settle do
    :ok = apply(Shop.Dispatch, :settle, [])
    if running?(), do: 0 = ElixirScope.count_events(before: 1)
  end

  defp running?, do: ElixirScope.running?()

  # All of the node's threads, and of these the library's own.
  defp cpu do
    threads = Machine.cpu_ns() || %{}
    "#{Enum.sum(Map.values(threads))} #{Map.get(threads, :recorder, 0)}"
  end

  defp tape(nil), do: "0 0 0 0 0"

  defp tape(since) do
    calls = [event_type: :function_entry, since: since]
    carts = [module: Shop.Cart, since: since]
    lost = ElixirScope.status().capture.lost |> Map.values() |> Enum.sum()

    [
      ElixirScope.count_events(since: since),
      ElixirScope.count_events([module: Shop.Web.Handler, function: :do] ++ calls),
      ElixirScope.count_events([module: Shop.Cart, function: :handle_call] ++ calls),
      ElixirScope.count_events([event_type: :state_change] ++ carts),
      lost
    ]
    |> Enum.join(" ")
  end

  defp say(text), do: IO.puts("shop: " <> text)
end

Bench.ShopNode.run()
