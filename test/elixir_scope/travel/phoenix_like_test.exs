defmodule ElixirScope.Travel.PhoenixLikeTest do
  # Phoenix itself is not here: see the stand-ins in test/support/phoenix_like.ex.
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.Truncated
  alias ElixirScopeTest.PhoenixLike.{CartLive, RoomChannel}

  @moduletag recorder: [storage: [memory_limit: 64 * 1_048_576]]
  @drivers [Phoenix.LiveView.Channel, Phoenix.Channel.Server]

  setup context do
    modules = [CartLive, RoomChannel] ++ Map.get(context, :also, [])
    :ok = ElixirScope.instrument(modules)

    on_exit(fn ->
      ElixirScope.start()
      ElixirScope.uninstrument(modules)
      ElixirScope.stop()
    end)
  end

  defp push(driver, pid, event, payload) do
    {:message, ref, _event, _payload} = driver.push(pid, event, payload)
    assert_receive {:reply, ^ref, reply}
    reply
  end

  # The socket of the process, when all that was sent before has been handled.
  defp socket(pid) do
    case :sys.get_state(pid) do
      %{socket: socket} -> socket
      socket -> socket
    end
  end

  defp live do
    {:ok, pid} = Phoenix.LiveView.Channel.start_link(CartLive, %{"user" => "Ann"})
    mounted = ElixirScope.now()
    assert push(Phoenix.LiveView.Channel, pid, "add", %{"item" => "tea", "count" => 2}) == %{count: 2}
    assert push(Phoenix.LiveView.Channel, pid, "add", %{"item" => "tea", "count" => 1}) == %{count: 3}
    {pid, mounted}
  end

  defp callbacks(pid, type \\ :state_change) do
    for event <- ElixirScope.get_events(pid: pid, event_type: type, limit: :infinity), do: event.callback
  end

  defp assigns(changes) do
    for %{path: [:assigns | path]} = change <- changes, hd(path) != :__changed__, into: %{} do
      {path, {change.op, change.old, change.new}}
    end
  end

  describe "a live view" do
    test "has the socket that each of its callbacks left" do
      {pid, mounted} = live()
      assert {:ok, socket, meta} = ElixirScope.fetch_state_at(pid, mounted)
      assert %Phoenix.LiveView.Socket{assigns: %{user: "Ann", items: items, page: 1}} = socket
      assert {items, meta.module} == {%{}, CartLive}
      assert ElixirScope.get_state_at(pid, :last).assigns.items == %{"tea" => 3}

      send(pid, {:log, "a line"})
      assert push(Phoenix.LiveView.Channel, pid, "price", %{}) == %{}
      until(fn -> socket(pid).assigns.price == 42 end)

      assert callbacks(pid) ==
               ~w(mount handle_params handle_event handle_event handle_info handle_event handle_async)a

      assert ElixirScope.get_state_at(pid, :last).assigns == %{
               socket(pid).assigns
               | __changed__: %{price: true}
             }
    end

    test "tells which assigns a callback changed" do
      {pid, mounted} = live()
      [mount, params, first, second] = ElixirScope.get_state_history(pid)
      assert {mount.old_state, mount.state_diff} == {nil, nil}
      assert %{user: "Ann", items: %{}} = mount.new_state.assigns

      assert assigns(params.state_diff) == %{
               [:uri] => {:added, nil, "http://localhost/"},
               [:page] => {:added, nil, 1}
             }

      assert assigns(first.state_diff) == %{[:items, "tea"] => {:added, nil, 2}}
      assert assigns(second.state_diff) == %{[:items, "tea"] => {:changed, 2, 3}}
      assert {:ok, changes} = ElixirScope.get_state_diff(pid, mounted, :last)
      assert assigns(changes) == %{[:items, "tea"] => {:added, nil, 3}}
      assert %{id: id} = ElixirScope.last_change(pid, [:assigns, :items, "tea"])
      assert id == second.id
      assert %{id: id} = ElixirScope.last_change(pid, [:assigns, :user])
      assert id == mount.id
    end

    test "has its replies on the tape, in the calls that gave them" do
      {pid, _mounted} = live()
      replies = ElixirScope.get_events(pid: pid, event_type: :callback_reply)
      assert [%{count: 2}, %{count: 3}] = Enum.map(replies, & &1.reply)
      entries = ElixirScope.get_events(pid: pid, event_type: :function_entry, function: :handle_event)
      assert Enum.map(entries, & &1.call_id) == Enum.map(replies, & &1.call_id)

      # The socket that a callback is given is none that a callback left: among the arguments it is not known.
      assert [["add", %{"item" => "tea", "count" => 2}, socket] | _] = Enum.map(entries, & &1.args)
      assert %Truncated{kind: :state} = socket

      assert Enum.all?(entries, &(&1.behaviour == Phoenix.LiveView))
    end

    # Between two callbacks its process forgets what was sent to the browser: a callback begins with a socket that none of the view's
    # callbacks left.
    test "does not call exact what its process changed in between" do
      {pid, _mounted} = live()
      [_mount, _params, first, second] = ElixirScope.get_state_history(pid)
      assert second.old_state != first.new_state or second.quality == :approximate
      between = second.timestamp - 1
      assert {:ok, told, %{quality: quality}} = ElixirScope.fetch_state_at(pid, between)
      assert told.assigns.__changed__ == %{items: true} and quality == :approximate
    end

    @tag also: @drivers
    test "is known to the letter where its process is instrumented, too" do
      {pid, mounted} = live()
      send(pid, {:log, "a line"})
      assert push(Phoenix.LiveView.Channel, pid, "look", %{}) == %{}
      driver = Phoenix.LiveView.Channel
      assert ElixirScope.get_state_at(pid, :last, module: driver) == :sys.get_state(pid)
      assert {:ok, state, %{quality: quality}} = ElixirScope.fetch_state_at(pid, mounted, module: driver)

      assert state.socket.assigns == %{
               __changed__: %{},
               user: "Ann",
               items: %{},
               log: [],
               page: 1,
               uri: "http://localhost/"
             }

      assert quality in [:exact, :unverified]
      assert {:ok, changes} = ElixirScope.get_state_diff(pid, mounted, :last, module: driver)

      assert Enum.sort_by(changes, & &1.path) == [
               %{path: [:socket, :assigns, :items, "tea"], op: :added, old: nil, new: 3},
               %{path: [:socket, :assigns, :log], op: :changed, old: [], new: ["a line"]}
             ]
    end
  end

  describe "a channel" do
    test "has the socket that each of its callbacks left, and its replies" do
      {pid, {:ok, %{welcome: "hall"}}} =
        Phoenix.Channel.Server.join(RoomChannel, "room:hall", %{"token" => "right"})

      joined = ElixirScope.now()
      assert push(Phoenix.Channel.Server, pid, "say", %{"text" => "one"}) == {:ok, %{said: 1}}
      send(pid, {:rename, "attic"})
      assert push(Phoenix.Channel.Server, pid, "say", %{"text" => "two"}) == {:ok, %{said: 2}}
      assert ElixirScope.get_state_at(pid, joined).assigns == %{name: "hall", said: 0}
      assert %Phoenix.Socket{assigns: last} = ElixirScope.get_state_at(pid, :last)
      assert last == socket(pid).assigns
      assert last == %{name: "attic", said: 2, last: "two"}
      assert callbacks(pid) == ~w(join handle_in handle_info handle_in)a

      [join, say, rename, again] = ElixirScope.get_state_history(pid)
      assert {join.old_state, join.state_diff, join.new_state.assigns} == {nil, nil, %{name: "hall", said: 0}}
      assert assigns(say.state_diff) == %{[:said] => {:changed, 0, 1}, [:last] => {:added, nil, "one"}}
      assert assigns(rename.state_diff) == %{[:name] => {:changed, "hall", "attic"}}
      assert assigns(again.state_diff) == %{[:said] => {:changed, 1, 2}, [:last] => {:changed, "one", "two"}}

      replies = ElixirScope.get_events(pid: pid, event_type: :callback_reply)
      assert Enum.map(replies, & &1.reply) == [%{welcome: "hall"}, {:ok, %{said: 1}}, {:ok, %{said: 2}}]
    end

    test "that refuses, hibernates or stops says so" do
      Process.flag(:trap_exit, true)

      {refused, {:error, %{reason: "unauthorized"}}} =
        Phoenix.Channel.Server.join(RoomChannel, "room:hall", %{})

      assert ElixirScope.get_state_at(refused, :last) == {:error, :no_state_recorded}
      {pid, {:ok, _reply}} = Phoenix.Channel.Server.join(RoomChannel, "room:hall", %{"token" => "right"})
      Phoenix.Channel.Server.push(pid, "quiet", %{})
      assert push(Phoenix.Channel.Server, pid, "leave", %{}) == :ok
      assert_receive {:EXIT, ^pid, :normal}
      assert [_welcome, quiet, leave] = ElixirScope.get_events(pid: pid, event_type: :callback_reply)
      assert {quiet.hibernate, leave.reply} == {true, :ok}
      assert ElixirScope.get_state_at(pid, :last).assigns.left
    end
  end
end
