# Stand-ins: Phoenix is on hex, and nothing of this library may depend on hex. Of Phoenix 1.7 and LiveView 1.0 these are the
# callbacks with the shapes that their documentation gives, the fields of their sockets that matter here, and the processes that
# run them, which do with the socket between two callbacks what Phoenix.LiveView.Channel and Phoenix.Channel.Server do.

defmodule Phoenix.LiveView.Socket do
  @moduledoc "A stand-in."
  defstruct id: nil,
            view: nil,
            root_pid: nil,
            transport_pid: nil,
            assigns: %{__changed__: %{}},
            private: %{live_temp: %{}},
            redirected: nil
end

defmodule Phoenix.LiveView do
  @moduledoc "A stand-in."
  alias Phoenix.LiveView.Socket

  @callback mount(params :: map | :not_mounted_at_router, session :: map, Socket.t()) ::
              {:ok, Socket.t()} | {:ok, Socket.t(), keyword}
  @callback handle_params(params :: map, uri :: String.t(), Socket.t()) :: {:noreply, Socket.t()}
  @callback handle_event(event :: binary, params :: map, Socket.t()) ::
              {:noreply, Socket.t()} | {:reply, map, Socket.t()}
  @callback handle_info(message :: term, Socket.t()) :: {:noreply, Socket.t()}
  @callback handle_async(name :: term, {:ok, term} | {:exit, term}, Socket.t()) :: {:noreply, Socket.t()}
  @callback render(assigns :: map) :: term
  @optional_callbacks mount: 3, handle_params: 3, handle_event: 3, handle_info: 2, handle_async: 3, render: 1

  @doc "Sets assigns, and notes which of them changed."
  def assign(%{assigns: assigns} = socket, changes) do
    changed = for {key, value} <- changes, assigns[key] !== value, into: %{}, do: {key, true}
    changed = Map.merge(assigns.__changed__, changed)
    %{socket | assigns: assigns |> Map.merge(Map.new(changes)) |> Map.put(:__changed__, changed)}
  end

  @doc "Runs a function in a task, whose result comes to `handle_async/3`."
  def start_async(socket, name, fun) do
    task = Task.async(fun)
    put_in(socket.private.live_temp[task.ref], name)
  end
end

defmodule Phoenix.LiveView.Channel do
  @moduledoc "A stand-in: the process of a live view."
  use GenServer

  alias Phoenix.LiveView.Socket

  def start_link(view, params), do: GenServer.start_link(__MODULE__, {view, params, self()})

  def push(pid, event, value), do: send(pid, {:message, make_ref(), event, value})

  @impl true
  def init({view, params, transport}) do
    socket = %Socket{id: "phx-1", view: view, root_pid: self(), transport_pid: transport}

    socket =
      case view.mount(params, %{}, socket) do
        {:ok, socket} -> socket
        {:ok, socket, _opts} -> socket
      end

    {:noreply, socket} = view.handle_params(params, "http://localhost/", socket)
    {:ok, rendered(%{socket: socket, components: %{}, fingerprints: {nil, %{}}})}
  end

  @impl true
  def handle_info({:message, ref, event, value}, %{socket: socket} = state) do
    case socket.view.handle_event(event, value, socket) do
      {:noreply, socket} -> {:noreply, answered(ref, %{}, %{state | socket: socket})}
      {:reply, reply, socket} -> {:noreply, answered(ref, reply, %{state | socket: socket})}
    end
  end

  def handle_info({ref, result}, %{socket: socket} = state) when is_map_key(socket.private.live_temp, ref) do
    Process.demonitor(ref, [:flush])
    {name, socket} = pop_in(socket.private.live_temp[ref])
    {:noreply, socket} = socket.view.handle_async(name, {:ok, result}, socket)
    {:noreply, rendered(%{state | socket: socket})}
  end

  def handle_info(message, %{socket: socket} = state) do
    {:noreply, socket} = socket.view.handle_info(message, socket)
    {:noreply, rendered(%{state | socket: socket})}
  end

  defp answered(ref, reply, state) do
    send(state.socket.transport_pid, {:reply, ref, reply})
    rendered(state)
  end

  # What changed has been sent.
  defp rendered(%{socket: socket} = state) do
    send(socket.transport_pid, {:diff, socket.view.render(socket.assigns)})
    put_in(state.socket.assigns.__changed__, %{})
  end
end

defmodule Phoenix.Socket do
  @moduledoc "A stand-in."
  defstruct channel: nil, topic: nil, transport_pid: nil, ref: nil, join_ref: nil, assigns: %{}, joined: false

  def assign(socket, key, value), do: put_in(socket.assigns[key], value)
end

defmodule Phoenix.Channel do
  @moduledoc "A stand-in."
  alias Phoenix.Socket

  @type reply :: atom | {atom, map}

  @callback join(topic :: binary, payload :: map, Socket.t()) ::
              {:ok, Socket.t()} | {:ok, reply :: map, Socket.t()} | {:error, map}
  @callback handle_in(event :: binary, payload :: map, Socket.t()) ::
              {:noreply, Socket.t()}
              | {:noreply, Socket.t(), timeout | :hibernate}
              | {:reply, reply, Socket.t()}
              | {:stop, reason :: term, Socket.t()}
              | {:stop, reason :: term, reply, Socket.t()}
  @callback handle_info(message :: term, Socket.t()) ::
              {:noreply, Socket.t()} | {:stop, reason :: term, Socket.t()}
  @optional_callbacks handle_in: 3, handle_info: 2
end

defmodule Phoenix.Channel.Server do
  @moduledoc "A stand-in: the process of a channel, whose state is the socket."
  use GenServer

  def join(channel, topic, payload) do
    {:ok, pid} =
      GenServer.start_link(__MODULE__, %Phoenix.Socket{channel: channel, topic: topic, transport_pid: self()})

    {pid, GenServer.call(pid, {:join, payload})}
  end

  def push(pid, event, payload), do: send(pid, {:message, make_ref(), event, payload})

  @impl true
  def init(socket), do: {:ok, socket}

  @impl true
  def handle_call({:join, payload}, _from, socket) do
    case socket.channel.join(socket.topic, payload, socket) do
      {:ok, socket} -> {:reply, {:ok, %{}}, %{socket | joined: true}}
      {:ok, reply, socket} -> {:reply, {:ok, reply}, %{socket | joined: true}}
      {:error, reply} -> {:stop, :shutdown, {:error, reply}, socket}
    end
  end

  @impl true
  def handle_info({:message, ref, event, payload}, socket) do
    event |> socket.channel.handle_in(payload, put_in(socket.ref, ref)) |> result()
  end

  def handle_info(message, socket), do: message |> socket.channel.handle_info(socket) |> result()

  defp result({:reply, reply, socket}) do
    send(socket.transport_pid, {:reply, socket.ref, reply})
    {:noreply, put_in(socket.ref, nil)}
  end

  defp result({:stop, reason, reply, socket}) do
    send(socket.transport_pid, {:reply, socket.ref, reply})
    {:stop, reason, socket}
  end

  defp result({:noreply, socket}), do: {:noreply, put_in(socket.ref, nil)}
  defp result({:noreply, socket, next}), do: {:noreply, put_in(socket.ref, nil), next}
  defp result({:stop, reason, socket}), do: {:stop, reason, socket}
end

defmodule ElixirScopeTest.PhoenixLike do
  @moduledoc "A live view and a channel as applications write them."

  defmodule CartLive do
    @moduledoc "A cart with a price that a task finds out."
    @behaviour Phoenix.LiveView
    import Phoenix.LiveView

    @impl true
    def mount(%{"user" => user}, _session, socket),
      do: {:ok, assign(socket, user: user, items: %{}, log: []), temporary_assigns: [log: []]}

    def mount(_params, _session, socket), do: {:ok, assign(socket, user: nil, items: %{}, log: [])}

    @impl true
    def handle_params(params, uri, socket),
      do: {:noreply, assign(socket, uri: uri, page: params["page"] || 1)}

    @impl true
    def handle_event("add", %{"item" => item, "count" => count}, socket) do
      items = Map.update(socket.assigns.items, item, count, &(&1 + count))
      {:reply, %{count: items[item]}, assign(socket, items: items)}
    end

    def handle_event("price", _params, socket),
      do: {:noreply, socket |> assign(price: :asked) |> start_async(:price, fn -> 42 end)}

    def handle_event("look", _params, socket), do: {:noreply, socket}

    @impl true
    def handle_info({:log, line}, socket), do: {:noreply, assign(socket, log: [line | socket.assigns.log])}

    @impl true
    def handle_async(:price, {:ok, price}, socket), do: {:noreply, assign(socket, price: price)}

    @impl true
    def render(assigns), do: Map.keys(assigns.__changed__)
  end

  defmodule RoomChannel do
    @moduledoc "A room that counts what is said."
    @behaviour Phoenix.Channel
    import Phoenix.Socket

    @impl true
    def join("room:" <> name, %{"token" => "right"}, socket),
      do: {:ok, %{welcome: name}, socket |> assign(:name, name) |> assign(:said, 0)}

    def join(_topic, _payload, _socket), do: {:error, %{reason: "unauthorized"}}

    @impl true
    def handle_in("say", %{"text" => text}, socket) do
      socket = socket |> assign(:said, socket.assigns.said + 1) |> assign(:last, text)
      {:reply, {:ok, %{said: socket.assigns.said}}, socket}
    end

    def handle_in("quiet", _payload, socket), do: {:noreply, socket, :hibernate}
    def handle_in("leave", _payload, socket), do: {:stop, :normal, :ok, assign(socket, :left, true)}

    @impl true
    def handle_info({:rename, name}, socket), do: {:noreply, assign(socket, :name, name)}
  end
end
