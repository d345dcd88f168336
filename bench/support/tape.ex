defmodule Bench.Tape do
  @moduledoc false

  # The recorder as the benchmarks use it.

  alias ElixirScope.Native

  # A benchmark is a load that no node bears for long, and wants to know what recording costs, not what is left of it.
  @unguarded [
    max_run_queue: :infinity,
    max_memory_bytes: :infinity,
    max_cpu_share: :infinity,
    max_loss: :infinity
  ]

  @doc "Starts the recorder afresh, without a guard; whatever it recorded before is gone."
  @spec start!(keyword) :: :ok
  def start!(options \\ []) do
    :ok = ElixirScope.stop()

    case ElixirScope.start([guard: @unguarded] ++ options) do
      :ok -> :ok
      {:error, reason} -> Bench.abort("the recorder does not start: #{inspect(reason)}")
    end
  end

  @spec stop!() :: :ok
  def stop!, do: :ok = ElixirScope.stop()

  @doc """
  Waits until all that was recorded before is in the store: a query drains the rings before it answers. This one matches
  nothing.
  """
  @spec drain() :: :ok
  def drain do
    0 = Native.count_events(%{before: 1, limit: :infinity, order: :asc, payload: false})
    :ok
  end

  @doc "Events lost since the start, by cause; only causes that happened."
  @spec lost() :: %{atom => pos_integer}
  def lost do
    for {cause, count} <- ElixirScope.status().capture.lost, count > 0, into: %{}, do: {cause, count}
  end

  @doc "Every event that was offered is in the store, evicted from it, or counted as lost. Waits for the rings first."
  @spec account() :: %{stored: integer, evicted: integer, lost: integer}
  def account do
    drain()
    status = ElixirScope.status()

    %{
      stored: status.store.events,
      evicted: status.store.evicted,
      lost: status.capture.lost |> Map.values() |> Enum.sum()
    }
  end

  @doc "Bytes of the store, all kinds together."
  @spec store_bytes(map) :: non_neg_integer
  def store_bytes(status), do: status.store.bytes.total

  @doc """
  The site that an instrumented function carries as a literal: `@site Bench.Tape.site(__ENV__, :name, [:a, :b])`.
  """
  @spec site(Macro.Env.t(), atom, [atom]) :: ElixirScope.Native.site()
  def site(env, function, arguments) do
    file = Path.relative_to_cwd(env.file)
    ElixirScope.Site.new({env.module, function, length(arguments), file, env.line, 1, arguments, :public})
  end
end
