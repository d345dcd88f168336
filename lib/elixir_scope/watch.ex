defmodule ElixirScope.Watch do
  @moduledoc false

  # The states of a live process without instrumentation. Arguments are checked in the calling process; one process of ours to
  # each watched one, `ElixirScope.Watch.Follower`, does the rest.

  alias ElixirScope.{Config, Error, Muted, Native, Options, Recorder}
  alias ElixirScope.Watch.{Follower, Followers, Target}

  @limit {:or, :infinity, :pos_integer}

  @schema [
    for: [
      type: @limit,
      default_doc: "`traces: [for:]` of the configuration",
      doc: "How many milliseconds it goes on."
    ],
    max: [
      type: @limit,
      default_doc: "`traces: [max:]`",
      doc: "How many changes of the state are recorded at most."
    ],
    rate: [
      type: @limit,
      default_doc: "`traces: [rate:]`",
      doc: "How many changes there may be in one second; more of them end the watch."
    ],
    interval: [
      type: :pos_integer,
      doc:
        "Looks at the state every so many milliseconds instead of at every change: for processes whose behaviour tells nobody of " <>
          "them. Each look copies the state."
    ],
    link: [type: :boolean, default: true, doc: "Whether the watch ends with the calling process."],
    force: [
      type: :boolean,
      default: false,
      doc:
        "Whether a process is watched that does not look as if it answered system messages, or whose module records its states " <>
          "itself."
    ]
  ]

  @doc "The options in Markdown."
  @spec docs() :: String.t()
  def docs, do: Options.docs(@schema)

  @spec watch(term, term) :: {:ok, reference} | {:error, :not_running | {:remote, node} | Error.t()}
  def watch(process, opts) do
    caller = self()

    running(fn ->
      with {:ok, opts} <- Options.validate(opts, @schema),
           {:ok, target} <- Target.find(process, caller, opts.force) do
        Followers.watch(target, Map.merge(limits(), opts) |> Map.put(:caller, caller))
      end
    end)
  end

  # What was configured last is what the recorder runs with.
  defp limits do
    config = Recorder.InUse.config() || Options.defaults(Config.schema())
    Map.take(config.traces, [:for, :max, :rate])
  end

  @spec unwatch(term) :: :ok | {:error, :not_running | Error.t()}
  def unwatch(ref) do
    running(fn ->
      cond do
        ref == :all -> stop_all()
        is_reference(ref) -> stop(Enum.filter(all(), &(&1.ref == ref)))
        true -> Error.invalid(:ref, ref, "a reference that ElixirScope.watch/2 answered, or :all")
      end
    end)
  end

  defp stop(watches) do
    for %{ref: ref, pid: pid} <- watches, do: Followers.unwatch(pid, ref)
    :ok
  end

  @doc "Ends all watches."
  @spec stop_all() :: :ok
  def stop_all, do: Followers.stop_all()

  @doc "All watches, for `ElixirScope.status/0`."
  @spec all() :: [Follower.status()]
  def all, do: Enum.flat_map(Followers.all(), &Follower.status/1)

  defp running(fun), do: Muted.run(fn -> if Native.running(), do: fun.(), else: {:error, :not_running} end)
end
