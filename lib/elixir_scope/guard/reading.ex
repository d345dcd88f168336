defmodule ElixirScope.Guard.Reading do
  @moduledoc false

  # What the guard measures. Memory is read from Linux's `/proc`; elsewhere it is what the emulator says that it took.

  @typedoc """
    * `run_queue`: processes and ports that wait for a scheduler
    * `memory_bytes`: resident memory of the node
    * `cpu_share`: of one core, taken since the last look by our own thread, and by capture in the host's
    * `loss`: the share of events that the rings lost since the last look
  """
  @type figures :: %{
          run_queue: non_neg_integer,
          memory_bytes: non_neg_integer,
          cpu_share: float,
          loss: float
        }

  @doc "The figures of now, from what `ElixirScope.Native.guard_reading/0` answers now and answered at the last look."
  @spec take(map, map | nil) :: figures
  def take(seen, last) do
    Map.merge(since(seen, last), %{
      run_queue: :erlang.statistics(:total_run_queue_lengths),
      memory_bytes: resident() || :erlang.memory(:total)
    })
  end

  @doc "What is told by the difference of two readings of the library."
  @spec since(map, map | nil) :: %{cpu_share: float, loss: float}
  def since(seen, %{at_ns: at_ns} = last) do
    recorded = max(seen.recorded - last.recorded, 0)
    lost = max(seen.lost - last.lost, 0)
    capture_ns = recorded * (seen.capture_ns || 0)
    elapsed_ns = System.convert_time_unit(max(seen.at_ns - at_ns, 1), :native, :nanosecond)

    %{
      cpu_share: (max(seen.cpu_ns - last.cpu_ns, 0) + capture_ns) / max(elapsed_ns, 1),
      loss: if(lost == 0, do: 0.0, else: lost / (lost + recorded))
    }
  end

  def since(_seen, _none), do: %{cpu_share: 0.0, loss: 0.0}

  @doc "Resident memory of the node, in bytes; `nil` where the system does not tell."
  @spec resident() :: non_neg_integer | nil
  def resident, do: kilobytes("/proc/self/status", "VmRSS:")

  @doc "The memory that the node may take: the machine's, or what its control group leaves of it."
  @spec system_memory() :: pos_integer | nil
  def system_memory do
    [
      kilobytes("/proc/meminfo", "MemTotal:"),
      bytes("/sys/fs/cgroup/memory.max"),
      bytes("/sys/fs/cgroup/memory/memory.limit_in_bytes")
    ]
    |> Enum.filter(& &1)
    |> Enum.min(fn -> nil end)
  end

  defp kilobytes(path, field) do
    with {:ok, text} <- File.read(path),
         [_before, rest] <- String.split(text, field, parts: 2),
         {number, _unit} <- rest |> String.trim_leading() |> Integer.parse() do
      number * 1_024
    else
      _unknown -> nil
    end
  end

  # `max` stands for no limit.
  defp bytes(path) do
    with {:ok, text} <- File.read(path),
         {number, _rest} when number > 0 <- Integer.parse(text) do
      number
    else
      _unlimited -> nil
    end
  end
end
