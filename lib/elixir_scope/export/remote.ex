defmodule ElixirScope.Export.Remote do
  @moduledoc false

  # An export of another node, written here. A process there holds the export, and makes one piece for each that it is asked for; it ends
  # with the one that asks.

  alias ElixirScope.{Error, Native}
  alias ElixirScope.Export.Perfetto

  # A piece takes milliseconds to be made; a node that is silent for so long is not going to answer.
  @patience 60_000

  @doc "This instant on the clock of a node's tape."
  @spec now(node) :: integer
  def now(node) do
    with {:error, _reason} <- :erpc.call(node, ElixirScope, :now, []), do: 0
  end

  @spec write(node, Path.t(), keyword, (Perfetto.progress() -> term)) ::
          {:ok, Perfetto.written()} | {:error, term}
  def write(node, path, query, progress) do
    Perfetto.into(path, progress, fn -> open(node, query) end, &step/1)
  rescue
    # :erpc's own: the node is gone, or has no such code
    error in ErlangError -> {:error, error.original}
  end

  defp open(node, query) do
    case :erpc.call(node, __MODULE__, :serve, [self(), query], @patience) do
      {:ok, server} -> {:ok, {server, Process.monitor(server)}}
      error -> error
    end
  end

  defp step({server, monitor}) do
    send(server, {:step, self(), monitor})

    receive do
      {^monitor, answer} ->
        answer

      {:DOWN, ^monitor, :process, _server, reason} ->
        {:error, %Error{reason: {:node_lost, node(server), reason}}}
    after
      @patience ->
        {:error, %Error{reason: {:timeout, @patience}, details: %{what: "the export of #{node(server)}"}}}
    end
  end

  # -- There ------------------------------------------------------------------------------------------------------------

  @doc "Begins an export for a process of another node."
  @spec serve(pid, keyword) :: {:ok, pid} | {:error, term}
  def serve(asker, query) do
    starter = self()
    tag = make_ref()

    {server, monitor} =
      spawn_monitor(fn ->
        ElixirScope.Muted.forever()

        case Perfetto.open(query) do
          {:ok, export} ->
            watched = Process.monitor(asker)
            send(starter, {tag, :ok})
            loop(export, watched)

          error ->
            send(starter, {tag, error})
        end
      end)

    receive do
      {^tag, answer} ->
        Process.demonitor(monitor, [:flush])
        if answer == :ok, do: {:ok, server}, else: answer

      {:DOWN, ^monitor, :process, ^server, reason} ->
        {:error, reason}
    end
  end

  @spec loop(Native.export(), reference) :: :ok
  defp loop(export, watched) do
    receive do
      {:step, from, tag} ->
        answer = Perfetto.step(export)
        send(from, {tag, answer})
        if match?({_bytes, %{complete: false}}, answer), do: loop(export, watched), else: :ok

      {:DOWN, ^watched, :process, _asker, _reason} ->
        :ok
    end
  end
end
