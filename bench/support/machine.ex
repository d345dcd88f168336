defmodule Bench.Machine do
  @moduledoc false

  # What the benchmark runs on, and what the operating system knows of this process. Memory and CPU time of threads are read
  # from /proc: on a system without it they are nil.

  @doc "Lines for the head of every benchmark."
  @spec describe() :: [{String.t(), String.t()}]
  def describe do
    library = ElixirScope.Native.load_info()

    unless library.profile == "release" do
      Bench.abort("the native library is a #{library.profile} build: figures would mean nothing")
    end

    [
      {"machine", "#{cpu_model()}, #{System.schedulers_online()} cores (shared, virtual machines are noisy)"},
      {"system", "#{os()}, OTP #{otp()}, Elixir #{System.version()}, #{emulator()}"},
      {"native library", "#{library.version}, profile #{library.profile}"},
      {"load when it began", load_average()},
      {"taken", DateTime.utc_now() |> DateTime.truncate(:second) |> DateTime.to_iso8601()}
    ]
  end

  defp cpu_model do
    with {:ok, text} <- File.read("/proc/cpuinfo"),
         [_, model] <- Regex.run(~r/^model name\s*:\s*(.+)$/m, text) do
      model
    else
      _ -> to_string(:erlang.system_info(:system_architecture))
    end
  end

  defp load_average do
    case File.read("/proc/loadavg") do
      {:ok, text} -> text |> String.split() |> Enum.take(1) |> hd()
      {:error, _} -> "unknown"
    end
  end

  defp os do
    {family, name} = :os.type()
    {major, minor, patch} = :os.version()
    "#{family} #{name} #{major}.#{minor}.#{patch}"
  end

  defp otp do
    path = Path.join([:code.root_dir(), "releases", System.otp_release(), "OTP_VERSION"])

    case File.read(path) do
      {:ok, version} -> String.trim(version)
      {:error, _} -> System.otp_release()
    end
  end

  defp emulator, do: "emulator #{:erlang.system_info(:emu_flavor)}"

  @doc "Resident memory of this OS process in bytes."
  @spec resident_bytes() :: non_neg_integer | nil
  def resident_bytes do
    with {:ok, text} <- File.read("/proc/self/status"),
         [_, kib] <- Regex.run(~r/^VmRSS:\s+(\d+) kB$/m, text) do
      String.to_integer(kib) * 1_024
    else
      _ -> nil
    end
  end

  @doc """
  CPU nanoseconds that each thread of this OS process has had, by its kind: `{:scheduler, n}`, `:dirty`, `:recorder` (the
  library's own threads), `:other`.
  """
  @spec cpu_ns() :: %{term => non_neg_integer} | nil
  def cpu_ns do
    with {:ok, tasks} <- File.ls("/proc/self/task"),
         threads = Enum.flat_map(tasks, &thread/1),
         false <- threads == [] do
      Enum.reduce(threads, %{}, fn {kind, ns}, sum -> Map.update(sum, kind, ns, &(&1 + ns)) end)
    else
      _ -> nil
    end
  end

  # A thread may end between the listing and the reading.
  defp thread(task) do
    with {:ok, name} <- File.read("/proc/self/task/#{task}/comm"),
         {:ok, times} <- File.read("/proc/self/task/#{task}/schedstat") do
      [on_cpu | _] = String.split(times)
      [{kind(String.trim(name)), String.to_integer(on_cpu)}]
    else
      _ -> []
    end
  end

  # OTP 25 names its threads "1_scheduler" and "1_dirty_cpu_sch", later ones "erts_sched_1" and "erts_dcpus_1".
  defp kind("erts_sched_" <> number), do: {:scheduler, String.to_integer(number)}
  defp kind("erts_d" <> _), do: :dirty
  defp kind("es_" <> _), do: :recorder

  defp kind(name) do
    case Regex.run(~r/^(\d+)_(scheduler|dirty)/, name) do
      [_, number, "scheduler"] -> {:scheduler, String.to_integer(number)}
      [_, _, "dirty"] -> :dirty
      nil -> :other
    end
  end
end
