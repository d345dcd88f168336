defmodule Shop.QuestionsTest do
  use ExUnit.Case

  alias ElixirScope.Events.{CallbackReply, FunctionEntry, MessageSend, StateChange}
  alias ElixirScope.Redacted
  alias Shop.Load.{Client, Ledger}
  alias Shop.{Questions, Tape}

  @card "4929000123456789"

  describe "cart/1" do
    test "is every state of the cart's process, in order, though the process has ended" do
      {cart, pid} = full_cart()
      refute Process.alive?(pid)

      changes = Questions.cart(cart)
      assert Enum.all?(changes, &(&1.pid == pid))

      assert for(%StateChange{} = change <- changes, do: {change.trigger_message, change.new_state.lines}) ==
               [
                 {nil, %{}},
                 {{:add, "tea", 2}, %{"tea" => 2}},
                 {{:add, "honey", 1}, %{"tea" => 2, "honey" => 1}},
                 {{:remove, "tea"}, %{"honey" => 1}}
               ]
    end

    test "of a cart never seen is empty" do
      assert Questions.cart("cart-none") == []
      assert Questions.life("cart-none") == []
    end
  end

  describe "life/1" do
    test "is what the cart's process did, from its init to its last call" do
      {cart, pid} = full_cart()
      events = Questions.life(cart)
      assert Enum.all?(events, &(&1.pid == pid))
      assert [%FunctionEntry{function: :init, args: [^cart], behaviour: GenServer} | _later] = events

      requests = for %FunctionEntry{function: :handle_call, args: [request | _]} <- events, do: request
      assert requests == [{:add, "tea", 2}, {:add, "honey", 1}, {:remove, "tea"}, :view, :close]
      assert List.last(for %CallbackReply{reply: reply} <- events, reply != nil, do: reply) == :ok
    end
  end

  describe "exchanges/3" do
    test "are the requests from one process to another, each with its answer" do
      {cart, pid} = full_cart()
      exchanges = Questions.asked_of_cart(cart)
      assert exchanges == Questions.exchanges(self(), pid)

      assert [
               {{:add, "tea", 2}, {:ok, %{"tea" => 2}}},
               {{:add, "honey", 1}, {:ok, %{"tea" => 2, "honey" => 1}}},
               {{:remove, "tea"}, {:ok, %{"honey" => 1}}},
               {:view, {:ok, %{"honey" => 1}}},
               {:close, :ok}
             ] = Enum.map(exchanges, &{&1.request, &1.reply})

      assert Enum.all?(exchanges, &(&1.wait_ns >= 0 and &1.work_ns > 0))
    end
  end

  describe "slowest_checkouts/2" do
    test "finds the one whose bank was slow, and says that it was the bank" do
      since = ElixirScope.now()
      quick = for _n <- 1..5, do: buy(@card)
      slow = buy(Shop.Bank.slow_card())
      checkouts = Questions.slowest_checkouts(3, since: since)

      assert [%{cart: cart, duration_ns: duration_ns, parts: parts} = slowest | others] = checkouts
      assert cart == slow.cart
      assert [{{Shop.Bank, :charge, 2}, bank_ns} | _less] = parts
      assert bank_ns >= Shop.Bank.slow_ms() * 1_000_000
      assert List.keymember?(parts, {Shop.Cart, :handle_call, 3}, 0)
      assert List.keymember?(parts, {Shop.Inventory, :handle_call, 3}, 0)
      spent_ns = parts |> Enum.map(&elem(&1, 1)) |> Enum.sum()
      assert duration_ns == spent_ns + slowest.queue_ns + slowest.rest_ns
      assert slowest.queue_ns > 0
      assert slowest.rest_ns >= 0
      assert length(others) == 2
      assert Enum.all?(others, &(&1.cart in Enum.map(quick, fn order -> order.cart end)))
    end
  end

  describe "request_of_order/1" do
    test "is the way of a request through all processes, and nothing of another request" do
      socket = Client.connect(Shop.Web.port())
      on_exit(fn -> :gen_tcp.close(socket) end)
      [{cart, order}, {other, _order}] = for _n <- 1..2, do: buy_over_http(socket)
      :ok = Shop.Dispatch.settle()
      events = Questions.request_of_order(order)

      processes = events |> Enum.map(& &1.pid) |> Enum.uniq()
      [%{pid: cart_pid} | _more] = Questions.cart(cart)
      assert length(processes) == 4

      assert Enum.all?(
               [cart_pid, Process.whereis(Shop.Inventory), Process.whereis(Shop.Dispatcher)],
               &(&1 in processes)
             )

      called = for %FunctionEntry{} = entry <- events, do: {entry.module, entry.function}
      assert hd(called) == {Shop.Web.Handler, :do}
      assert {Shop.Inventory, :handle_call} in called
      assert {Shop.Label, :print} in called
      assert for(%MessageSend{send_type: :cast} = cast <- events, do: cast.message) == [{:send_out, order}]
      refute inspect(events, limit: :infinity) =~ other
    end

    test "of an order never seen is empty" do
      assert Questions.request_of_order(0) == []
    end
  end

  describe "failures/1" do
    test "tell where each error came up first, and how often" do
      since = ElixirScope.now()
      for _n <- 1..3, do: refused(%{"tea" => 1}, Shop.Bank.declined_card(), :declined)
      for _n <- 1..2, do: refused(%{"lamp" => 1_000}, @card, {:out_of_stock, "lamp"})
      buy(@card, "AB12CD")
      :ok = Shop.Dispatch.settle()

      assert Questions.failures(since: since) == [
               %{function: {Shop.Bank, :charge, 2}, error: :declined, raised?: false, times: 3},
               %{
                 function: {Shop.Inventory, :handle_call, 3},
                 error: {:out_of_stock, "lamp"},
                 raised?: false,
                 times: 2
               },
               %{
                 function: {Shop.Label, :print, 1},
                 error: %MatchError{term: ["AB12CD"]},
                 raised?: true,
                 times: 1
               }
             ]
    end
  end

  describe "crashes/1 and before_crash/2" do
    test "tell which order crashed which process, where, in which state, and what came before" do
      since = ElixirScope.now()
      worker = Process.whereis(Shop.Dispatcher)
      good = buy(@card)
      bad = buy(@card, "AB12CD")
      :ok = Shop.Dispatch.settle()

      assert [crash] = Questions.crashes(since: since)
      assert crash.pid == worker
      assert crash.order.id == bad.id
      assert crash.order.cart == bad.cart
      assert crash.message == {:send_out, bad.id}
      assert crash.reason == %MatchError{term: ["AB12CD"]}
      assert crash.where =~ "Shop.Label.print/1"
      assert %{packed: packed, last: last} = crash.state
      assert packed > 0
      assert last == good.id

      story = Questions.before_crash(crash)
      assert List.last(story.worker).id == crash.event_id
      assert Enum.all?(story.worker, &(&1.pid == worker))
      assert List.last(story.states).new_state == crash.state
      assert List.last(story.cart).new_state.lines == bad.lines
      assert story.meanwhile[{Shop.Checkout, :run, 3}] >= 2
    end
  end

  describe "what is secret" do
    test "is masked in arguments and in parameters, and not recorded where it comes in raw" do
      ledger = Shop.Load.run(requests: 400, shoppers: 4)
      window = Ledger.window(ledger)

      assert [_one | _more] = payments = Tape.calls(Shop.Bank, :charge, window)
      assert Enum.all?(payments, &match?([%{card_number: %Redacted{}, cvv: %Redacted{}}, _cents], &1.args))

      check_outs = Tape.calls(Shop.Web.Routes, :run, [where: [{[:args, 0], :==, :check_out}]] ++ window)

      assert length(check_outs) == Ledger.routes(ledger).check_out
      assert Enum.all?(check_outs, &match?([_, _, %{"card_number" => %Redacted{}}], &1.args))
      assert Enum.all?(check_outs, &match?([_, _, %{"postcode" => "AB" <> _}], &1.args))
      assert Enum.all?(Tape.calls(Shop.Web.Handler, :do, window), &(&1.args in [nil, []]))
      assert Shop.Audit.Secrets.count(Ledger.card_numbers(ledger), window) == 0
    end
  end

  describe "the tape" do
    test "holds the shop and none of its examiners" do
      reports = ElixirScope.Instrument.Sidecar.report()
      loaded = for %{status: :loaded, module: module} <- reports, do: module
      {:ok, modules} = :application.get_key(:shop, :modules)

      examiners =
        for part <- [Mix.Tasks.Shop, Shop.Audit, Shop.Demo, Shop.Load, Shop.Print, Shop.Questions, Shop.Tape],
            do: "#{part}"

      plain? = fn module ->
        Enum.any?(examiners, &("#{module}" == &1 or String.starts_with?("#{module}", &1 <> ".")))
      end

      # an order is data, and has no function of its own
      assert Enum.sort(loaded) == Enum.sort(Enum.reject(modules, plain?) -- [Shop.Order])
    end
  end

  defp full_cart do
    cart = Shop.open_cart()
    {:ok, pid} = Shop.Carts.Names.whereis(cart)
    other = Shop.open_cart()
    {:ok, _lines} = Shop.add(cart, "tea", 2)
    {:ok, _lines} = Shop.add(other, "mug", 1)
    {:ok, _lines} = Shop.add(cart, "honey", 1)
    {:ok, _lines} = Shop.remove(cart, "tea")
    {:ok, _order} = Shop.check_out(cart, %{card_number: @card, cvv: "737"}, "AB1 2CD")
    {cart, pid}
  end

  defp buy(card, postcode \\ "AB1 2CD") do
    cart = Shop.open_cart()
    {:ok, _lines} = Shop.add(cart, "biscuits", 1)
    {:ok, order} = Shop.check_out(cart, %{card_number: card, cvv: "737"}, postcode)
    order
  end

  defp refused(lines, card, error) do
    cart = Shop.open_cart()
    for {sku, units} <- lines, do: {:ok, _lines} = Shop.add(cart, sku, units)
    assert Shop.check_out(cart, %{card_number: card, cvv: "737"}, "AB1 2CD") == {:error, error}
  end

  defp buy_over_http(socket) do
    {201, %{"cart" => cart}} = Client.request(socket, "POST", "/carts")
    {200, _lines} = Client.request(socket, "POST", "/carts/#{cart}/items", sku: "tea", units: 1)
    fields = [card_number: @card, cvv: "737", postcode: "AB1 2CD"]
    {201, %{"order" => order}} = Client.request(socket, "POST", "/carts/#{cart}/checkout", fields)
    {cart, String.to_integer(order)}
  end
end
