defmodule Shop.QuestionsTest do
  use ExUnit.Case

  alias ElixirScope.Events.{Span, UserEvent}
  alias ElixirScope.Redacted
  alias Shop.Load.Ledger
  alias Shop.{Questions, Tape}

  @card "4929000123456789"

  describe "cart/1" do
    test "is what the cart's process did, in order, though the process has ended" do
      cart = Shop.open_cart()
      {:ok, pid} = Shop.Carts.Names.whereis(cart)
      other = Shop.open_cart()
      {:ok, _lines} = Shop.add(cart, "tea", 2)
      {:ok, _lines} = Shop.add(other, "mug", 1)
      {:ok, _lines} = Shop.add(cart, "honey", 1)
      {:ok, _lines} = Shop.remove(cart, "tea")
      {:ok, _order} = Shop.check_out(cart, %{card_number: @card, cvv: "737"}, "AB1 2CD")
      refute Process.alive?(pid)

      events = Questions.cart(cart)
      assert Enum.all?(events, &(&1.pid == pid))
      assert [%UserEvent{name: :cart_opened, data: %{cart: ^cart}} | spans] = events

      assert for(%Span{event_type: :span_start} = span <- spans, do: {span.name, span.metadata[:sku]}) == [
               {"cart.add", "tea"},
               {"cart.add", "honey"},
               {"cart.remove", "tea"},
               {"cart.view", nil},
               {"cart.close", nil}
             ]

      assert Enum.count(spans, &(&1.event_type == :span_stop and &1.exit_reason == :normal)) == 5
    end

    test "of a cart never seen is empty" do
      assert Questions.cart("cart-none") == []
    end
  end

  describe "slowest_checkouts/2" do
    test "finds the one whose bank was slow, and says that it was the bank" do
      since = ElixirScope.now()
      quick = for _n <- 1..5, do: buy(@card)
      slow = buy(Shop.Bank.slow_card())
      checkouts = Questions.slowest_checkouts(3, since: since)

      assert [%{cart: cart, duration_ns: duration_ns, parts: parts, rest_ns: rest_ns} | others] = checkouts
      assert cart == slow.cart
      assert {"payment", payment_ns} = List.keyfind(parts, "payment", 0)
      assert payment_ns >= Shop.Bank.slow_ms() * 1_000_000
      assert duration_ns == rest_ns + (parts |> Enum.map(&elem(&1, 1)) |> Enum.sum())
      assert rest_ns >= 0
      assert length(others) == 2
      assert Enum.all?(others, &(&1.cart in Enum.map(quick, fn order -> order.cart end)))
    end
  end

  describe "order/1" do
    test "is its way through all processes" do
      order = buy(@card)
      :ok = Shop.Dispatch.settle()
      events = Questions.order(order.id)

      assert for(%UserEvent{name: name} <- events, do: name) == [:order_placed, :order_dispatched]

      assert [%Span{event_type: :span_start}, %Span{event_type: :span_stop}] =
               for(%Span{} = span <- events, do: span)

      assert events |> Enum.map(& &1.pid) |> Enum.uniq() |> length() == 2
    end
  end

  describe "crashes/1 and before_crash/2" do
    test "tell which order crashed which process, where, and what came before" do
      since = ElixirScope.now()
      worker = Process.whereis(Shop.Dispatcher)
      good = buy(@card)
      bad = buy(@card, "AB12CD")
      :ok = Shop.Dispatch.settle()

      assert [crash] = Questions.crashes(since: since)
      assert crash.pid == worker
      assert crash.order == bad.id
      assert crash.cart == bad.cart
      assert crash.reason == %MatchError{term: ["AB12CD"]}
      assert crash.where =~ "Shop.Label.print/1"

      story = Questions.before_crash(crash)
      assert List.last(story.worker).id == crash.event_id
      assert Enum.all?(story.worker, &(&1.pid == worker))
      assert Enum.any?(story.worker, &match?(%UserEvent{data: %{order: order}} when order == good.id, &1))
      assert List.last(story.cart).event_type == :span_stop
      assert story.meanwhile["dispatch"] >= 4
    end
  end

  describe "what is secret" do
    test "is masked in spans, in parameters of requests and in snapshots" do
      since = ElixirScope.now()
      ledger = Shop.Load.run(requests: 400, shoppers: 4)
      window = Ledger.window(ledger)

      assert [_one | _more] = payments = Tape.begun_spans("payment", window)
      assert Enum.all?(payments, &match?(%{card_number: %Redacted{}, cvv: %Redacted{}}, &1.metadata))

      check_outs =
        Tape.begun_spans("http.request", [where: [{[:metadata, :route], :==, :check_out}]] ++ window)

      assert length(check_outs) == Ledger.routes(ledger).check_out
      assert Enum.all?(check_outs, &match?(%{"card_number" => %Redacted{}}, &1.metadata.params))
      assert Enum.all?(check_outs, &match?(%{"postcode" => "AB" <> _}, &1.metadata.params))

      declined = Tape.all(event_type: :variable_assignment, module: Shop.Checkout, since: since)
      assert length(declined) == Ledger.statuses(ledger)[402]
      assert Enum.all?(declined, &match?(%{payment: %{card_number: %Redacted{}}}, &1.bindings))
    end
  end

  defp buy(card, postcode \\ "AB1 2CD") do
    cart = Shop.open_cart()
    {:ok, _lines} = Shop.add(cart, "biscuits", 1)
    {:ok, order} = Shop.check_out(cart, %{card_number: card, cvv: "737"}, postcode)
    order
  end
end
