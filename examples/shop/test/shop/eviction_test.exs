defmodule Shop.EvictionTest do
  use ExUnit.Case
  import ExUnit.CaptureIO

  alias Shop.{Audit, Load, Tape}
  alias Shop.Audit.Check
  alias Shop.Load.Shelves

  # So little that the oldest events of this many requests have to give way.
  @bytes 3 * 1024 * 1024
  @requests 6_000

  setup do
    recorder = Application.fetch_env!(:shop, :recorder)
    on_exit(fn -> restart(recorder) end)
    restart(Keyword.put(recorder, :storage, memory_limit: @bytes))
  end

  test "the audit checks what the tape still holds whole" do
    ledger = Load.run(requests: @requests, shoppers: 8)
    assert Tape.status().store.evicted > 0
    assert length(Audit.held(ledger).entries) in 1..(@requests - 1)
    checks = Audit.run(ledger)
    assert for(check <- checks, not Check.ok?(check), do: check) == []

    # The lamps were sold before that.
    assert Enum.any?(
             checks,
             &(&1.what =~ ~r/changes of a product's stock.* \(\d+ not on the tape any more\)/)
           )
  end

  test "what the shelves held is still known when the events around it are gone" do
    ledger = Load.run(requests: @requests, shoppers: 8)
    inventory = Process.whereis(Shop.Inventory)
    first = hd(ledger.parts)
    assert first.since < Tape.status().store.oldest
    assert {:ok, stock, _quality} = Tape.state_at(inventory, first.since)
    assert stock == Shelves.opening(first)
  end

  test "the demo says how much that is" do
    output = capture_io(fn -> send(self(), {:passed, Shop.Demo.run(requests: @requests, shoppers: 8)}) end)
    assert for(line <- String.split(output, "\n"), line =~ "FAIL", do: line) == []
    assert_received {:passed, true}
    assert output =~ ~r/lamp +\(gave way\)\n/
    assert output =~ ~r/The last [\d,]+ requests of 6,000: older events had to give way/
  end

  defp restart(recorder) do
    :ok = Application.stop(:shop)
    Application.put_env(:shop, :recorder, recorder)
    :ok = Application.start(:shop)
  end
end
