defmodule ElixirScope do
  @moduledoc """
  A flight recorder for running Elixir systems: what happened is on tape, and the tape answers.

  Start it from the shell, mark what matters with `ElixirScope.Trace`, and ask:

      iex> :ok = ElixirScope.start()
      iex> require ElixirScope.Trace, as: Trace
      iex> since = ElixirScope.now()
      iex> Trace.span "checkout", %{cart: 7} do
      ...>   Trace.event(:payment_refused, %{reason: :card_expired})
      ...> end
      iex> for event <- ElixirScope.get_events(pid: self(), since: since), do: event.event_type
      [:span_start, :user_event, :span_stop]
      iex> [event] = ElixirScope.get_events(since: since, where: [{[:data, :reason], :==, :card_expired}])
      iex> event.name
      :payment_refused
      iex> ElixirScope.stop()
      :ok

  Or let it stand in a supervision tree, where it starts and stops with your application:

      children = [
        {ElixirScope, storage: [memory_limit: 64 * 1024 * 1024]},
        MyApp.Repo
      ]

  The recorder lives in a native library and belongs to no process: whatever crashes, the tape is still there. What is lost
  is counted, and shown where it was lost as a `ElixirScope.Events.DataLoss`. Memory is bounded by the configuration, see
  `ElixirScope.Config`.

  Every function answers `{:error, :not_running}` when the recorder is not running, except the life cycle, `status/0` and
  `get_config/0`. Other errors are a `ElixirScope.Error`, unless a function names a plain reason.
  """

  alias ElixirScope.{Config, Error, Events, Query, Recorder, Server, Subscriptions}

  # -- Life cycle -------------------------------------------------------------------------------------------------------

  @doc """
  Starts recording. The options are those of `ElixirScope.Config`.

  `:ok`, and nothing else, where the recorder runs already or the configuration says `enabled: false`. What was said in
  `{ElixirScope, opts}` is not remembered: after `stop/0` the options are those given here and of `config :elixir_scope`.

      iex> ElixirScope.start(capture: [max_payload_bytes: 4_096])
      :ok
      iex> ElixirScope.start(strategy: :everything)
      {:error,
       %ElixirScope.Error{
         reason: {:invalid_option, :strategy, :everything, "one of :minimal, :balanced, :full_trace"}
       }}
  """
  @spec start(keyword) :: :ok | {:error, Error.t()}
  def start(opts \\ []), do: Recorder.start(opts)

  @doc """
  Stops recording and frees the tape. `:ok` where it does not run.

      iex> ElixirScope.start()
      iex> ElixirScope.stop()
      :ok
      iex> ElixirScope.stop()
      :ok
      iex> ElixirScope.get_events()
      {:error, :not_running}
  """
  @spec stop() :: :ok | {:error, Error.t()}
  defdelegate stop, to: Recorder

  @doc """
  Pauses recording: from now on nothing is recorded, and the tape can be queried as before.

      iex> ElixirScope.start()
      iex> ElixirScope.pause()
      :ok
      iex> require ElixirScope.Trace
      iex> ElixirScope.Trace.event(:unseen, nil)
      iex> ElixirScope.count_events(where: [{[:name], :==, :unseen}])
      0
      iex> ElixirScope.resume()
      :ok
  """
  @spec pause() :: :ok | {:error, :not_running}
  defdelegate pause, to: Recorder

  @doc "Goes on recording after `pause/0`."
  @spec resume() :: :ok | {:error, :not_running}
  defdelegate resume, to: Recorder

  @doc """
  So that `{ElixirScope, opts}` stands in a supervision tree.

      iex> ElixirScope.child_spec(sampling_rate: 0.5).start
      {ElixirScope, :start_link, [[sampling_rate: 0.5]]}
  """
  @spec child_spec(keyword) :: Supervisor.child_spec()
  def child_spec(opts), do: %{id: __MODULE__, start: {__MODULE__, :start_link, [opts]}, type: :worker}

  @doc """
  Starts recording, tied to a supervision tree; a recorder that runs already is adopted as it is.

  An orderly shutdown of this child stops the recorder and frees the tape. A crash does not. With `enabled: false` the
  child is left out, as `:ignore` says to its supervisor.
  """
  @spec start_link(keyword) :: GenServer.on_start() | {:error, Error.t()}
  def start_link(opts \\ []), do: Server.start_link(opts)

  @doc """
  Whether the recorder runs, paused or not.

      iex> ElixirScope.start()
      iex> ElixirScope.running?()
      true
  """
  @spec running?() :: boolean
  defdelegate running?, to: Recorder

  @doc """
  What the recorder does and holds, measured now.

    * `running`, `paused`, `recording` (whether marks are recorded now), `node`, `started_at` (a `DateTime`), `config`, `library`
      (how the native library was built)
    * `capture`: `events` recorded, those included that gave way later, `per_second`, `lost` by cause and `lost_by_writer`,
      `bytes` in rings of `capacity_bytes`, `writers`
    * `store`: `events`, `segments`, `bytes` in `total` and by kind, `memory_limit`, `oldest` and `newest` time, `evicted`
    * `clock`: `source`, `skew_ns` against `System.monotonic_time/0`
    * `terms`: which shapes of terms this VM lets us read raw, which fell back to the NIF interface; learned once, whatever
      `raw_terms` says
    * `faults`: `panics`, and the `last` reason
    * `overhead`: `capture_ns` per captured event, sampled, and `cpu_ns` of our own threads
    * `processes`: slots for processes, and how many are in use
    * `sites`: places in the program that have been recorded
    * `instrumentation`: the `modules` that record themselves, those `pending` plain code, and the switches in effect: `strategy` (nil
      where all that was compiled in is recorded) and `rules`
    * `subscriptions`: how many there are

  While it is not running only `running`, `node`, `config` and what is known of the library is there.

      iex> ElixirScope.start()
      iex> status = ElixirScope.status()
      iex> {status.running, status.paused, status.config.strategy}
      {true, false, :balanced}
  """
  @spec status() :: map
  defdelegate status, to: Recorder

  @doc """
  This instant on the tape's clock: integer monotonic nanoseconds, between the events recorded before and those after.

      iex> ElixirScope.start()
      iex> require ElixirScope.Trace
      iex> ElixirScope.Trace.event(:before, nil)
      iex> now = ElixirScope.now()
      iex> ElixirScope.Trace.event(:after, nil)
      iex> for event <- ElixirScope.get_events(since: now, pid: self()), do: event.name
      [:after]
  """
  @spec now() :: integer | {:error, :not_running}
  defdelegate now, to: Recorder

  # -- Configuration ----------------------------------------------------------------------------------------------------

  @doc """
  The configuration in use, as a map; while nothing runs, the one that `start/0` would use.

      iex> ElixirScope.start(sampling_rate: 0.5)
      iex> ElixirScope.get_config().sampling_rate
      0.5
  """
  @spec get_config() :: Config.t() | {:error, Error.t()}
  defdelegate get_config, to: Recorder

  @doc """
  Changes one option while the recorder runs; `ElixirScope.Config` says which.

      iex> ElixirScope.start()
      iex> ElixirScope.update_config([:capture, :max_depth], 10)
      :ok
      iex> ElixirScope.get_config().capture.max_depth
      10
      iex> ElixirScope.update_config([:storage, :memory_limit], 1_000_000_000)
      {:error, :not_updatable}
  """
  @spec update_config(Config.path(), term) :: :ok | {:error, :not_running | :not_updatable | Error.t()}
  defdelegate update_config(path, value), to: Recorder

  # -- Queries ----------------------------------------------------------------------------------------------------------

  @doc """
  The events on the tape that match all options. It sees every event that was recorded before it was asked.

      iex> ElixirScope.start()
      iex> require ElixirScope.Trace
      iex> for n <- 1..5, do: ElixirScope.Trace.event(:counted, %{n: n})
      iex> for event <- ElixirScope.get_events(event_type: :user_event, pid: self(), limit: 2), do: event.data.n
      [4, 5]
      iex> ElixirScope.get_events(limit: 0)
      {:error, %ElixirScope.Error{reason: {:invalid_option, :limit, 0, "a positive integer or :infinity"}}}

  A process of another node is answered `{:error, {:remote, node}}`.

  ## Options

  #{Query.Options.docs()}
  """
  @spec get_events(keyword) :: [Events.t()] | Query.error()
  def get_events(opts \\ []), do: Query.get_events(opts)

  @doc """
  How many events on the tape match; takes the options of `get_events/1` but `:limit`, `:order` and `:payload`.

      iex> ElixirScope.start()
      iex> require ElixirScope.Trace
      iex> since = ElixirScope.now()
      iex> for n <- 1..5, do: ElixirScope.Trace.event(:counted, %{n: n})
      iex> ElixirScope.count_events(since: since, pid: self(), where: [{[:data, :n], :>, 2}])
      3
  """
  @spec count_events(keyword) :: non_neg_integer | Query.error()
  def count_events(opts \\ []), do: Query.count_events(opts)

  # -- Subscriptions ----------------------------------------------------------------------------------------------------

  @doc """
  Has the calling process told of events as they happen.

  From now on it gets `{:elixir_scope_event, event}` for each event that matches, but not for its own ones. It is never
  flooded: while its mailbox is long, events wait natively, and what does not fit is dropped and told by one
  `{:elixir_scope_dropped, n}` as soon as it has caught up. A subscription ends with its subscriber, with `unsubscribe/1`,
  and with `stop/0`.

      iex> ElixirScope.start()
      iex> {:ok, ref} = ElixirScope.subscribe_to_events(event_type: :user_event)
      iex> require ElixirScope.Trace
      iex> Task.await(Task.async(fn -> ElixirScope.Trace.event(:hello, nil) end))
      iex> receive do
      ...>   {:elixir_scope_event, event} -> event.name
      ...> end
      :hello
      iex> ElixirScope.unsubscribe(ref)
      :ok

  ## Options

  #{Subscriptions.docs()}
  """
  @spec subscribe_to_events(keyword) :: {:ok, reference} | Query.error()
  def subscribe_to_events(opts \\ []), do: Subscriptions.subscribe(opts)

  @doc """
  Ends a subscription, from any process. Nothing is sent after it has answered; what was sent before is still in the mailbox.
  """
  @spec unsubscribe(reference) :: :ok | {:error, :not_running | Error.t()}
  defdelegate unsubscribe(ref), to: Subscriptions

  # -- Instrumentation --------------------------------------------------------------------------------------------------

  @doc """
  Makes modules that are loaded record themselves, from now on and on this node only.

  The code is exchanged as by an upgrade: calls that are under way go on in the code that they began in. No process is ever
  killed for it, so that processes which still run an even older version of a module are in the way:
  `{:error, {:old_code_in_use, pids}}`. A list of modules succeeds or fails as a whole.

  Modules of OTP's sticky directories need `force: true`; those that load code or are preloaded, modules that load native
  functions, and those of ElixirScope are refused. Without debug information there is no code to make:
  the error `:no_debug_info` says what helps.

      iex> ElixirScope.start()
      iex> ElixirScope.instrument(Version, functions: [:parse!])
      :ok
      iex> version = System.version()
      iex> Version.parse!(version).major
      1
      iex> [entry, exit] = ElixirScope.get_events(module: Version, function: :parse!)
      iex> {entry.args == [version], exit.exit_reason, exit.result.major}
      {true, :normal, 1}
      iex> ElixirScope.uninstrument(Version)
      :ok

  ## Options

  #{ElixirScope.Options.docs(ElixirScope.Instrument.Live.schema())}
  """
  @spec instrument(module | [module], keyword) ::
          :ok | {:error, :not_running | {:old_code_in_use, [pid]} | Error.t()}
  defdelegate instrument(modules, opts \\ []), to: ElixirScope.Instrument.Live

  @doc """
  Makes modules plain again. Nothing of them is recorded any more when it answers; `{:ok, :pending}` says that processes which
  run older code are still in the way of the plain code, which is loaded as soon as they are gone.
  """
  @spec uninstrument(module | [module]) :: :ok | {:ok, :pending} | {:error, :not_running | Error.t()}
  defdelegate uninstrument(modules), to: ElixirScope.Instrument.Live

  @doc """
  Changes at run time what is recorded of the code that records itself, without compiling or loading it anew.

      iex> ElixirScope.start()
      iex> ElixirScope.update_instrumentation(strategy: :minimal, disable: [{MyApp.Worker, :poll, 0}])
      :ok
      iex> ElixirScope.update_instrumentation(strategy: :full_trace, enable: [{MyApp.Worker, :poll, 0}])
      :ok

  What is switched off costs the check of one word. Switches outlast the recorder's stop, but not a new `instrument/2` of their
  module.

  ## Options

  #{ElixirScope.Options.docs(ElixirScope.Instrument.Live.update_schema())}
  """
  @spec update_instrumentation(keyword) ::
          :ok | {:ok, :pending} | {:error, :not_running | {:old_code_in_use, [pid]} | Error.t()}
  defdelegate update_instrumentation(opts), to: ElixirScope.Instrument.Live, as: :update
end
