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

  alias ElixirScope.{
    Config,
    Error,
    Events,
    Flow,
    Life,
    Query,
    Recorder,
    Server,
    Subscriptions,
    Timeline,
    Tracing,
    Watch
  }

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
    * `timelines`: `processes` whose states can be asked for, `changes`, how many of them were `verified`, and `mismatches` found, `bytes`,
      `evicted`
    * `traces`: each with its target, its limits, how many events it has `recorded` and `skipped`, how often a process was `missed` because
      131,072 belong to traces already, and what was `left_out`; `ended_traces`, the last ones, with the `reason`
    * `watches`: each with its process, its limits, and how many changes it has `recorded`
    * `crashes`: how many were `recorded`, and `skipped` since they were too many in one second
    * `subscriptions`: how many there are
    * `guard`: how much is recorded (`level`), `since` when and `why`, the `figures` of the newest look, the `bounds` in use, and the newest
      `steps`; see `ElixirScope.Guard`

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

  # -- Messages and causes ------------------------------------------------------------------------------------------------

  @doc """
  The messages that one process sent to another, in the order in which they were sent, each with what became of it.

  Processes are told by pid or name; a name means whoever has it, whoever is known to have had it, and what was sent to it by that
  name. `:all` stands for any process, and a list for several.

  Sends and arrivals are recorded by a trace (`trace/2`) of both processes, what is sent and handled also by instrumented code. So far
  as they are on the tape,

    * `received_at` tells when a message came into the mailbox, `handled_at` when a callback took it up, and `queue_time_ns` how long it
      waited between the two
    * `to_dead` is true where nobody was there, false where it was received, and nil where it is on its way, or its arrival was not
      recorded
    * `receiver_pid` is known of what was sent to a name or an alias
    * what arrived of which nobody told that it was sent stands there too: messages of monitors (`:down`), links (`:exit`) and timers
      (`:timer`), and those of processes that are not recorded. Its `message_id`, and the event's `id`, are then those of its arrival

  Two equal messages are two messages. Which of several equal ones arrived is told by their order; where records were lost, or nobody
  knows who sent it, it is not told at all.

      iex> ElixirScope.start()
      iex> {:ok, agent} = Agent.start_link(fn -> 0 end)
      iex> ElixirScope.get_message_flow(self(), agent)
      []
      iex> ElixirScope.get_message_flow(:nobody_has_this_name, :all)
      {:error, %ElixirScope.Error{reason: {:no_process, :nobody_has_this_name}}}

  Conditions of `:where` are on the fields of `ElixirScope.Events.MessageSend`, those above among them:
  `where: [{[:queue_time_ns], :>, 1_000_000}]`.

  ## Options

  #{Flow.flow_docs()}
  """
  @spec get_message_flow(from :: Flow.party(), to :: Flow.party(), keyword) ::
          [Events.MessageSend.t()] | Query.error()
  def get_message_flow(from, to, opts \\ []), do: Flow.get_message_flow(from, to, opts)

  @doc """
  The events that led to an event, across processes, oldest first: the calls that it happened in, the message that the outermost of
  these handles, its sending and the calls that it was sent in, and so on; of an answer the request, of a process its birth, of what a
  monitor or link tells the death. The event itself is not among them.

      iex> ElixirScope.start()
      iex> require ElixirScope.Trace
      iex> ElixirScope.Trace.span "order", nil do
      ...>   ElixirScope.Trace.span("pay", nil, do: ElixirScope.Trace.event(:refused, nil))
      ...> end
      iex> [refused] = ElixirScope.get_events(where: [{[:name], :==, :refused}])
      iex> for event <- ElixirScope.trace_causes(refused.id), do: {event.event_type, event.name}
      [span_start: "order", span_start: "pay"]

  An event that is not on the tape is `{:error, %ElixirScope.Error{reason: {:no_event, id}}}`.

  ## Options

  #{Flow.chain_docs()}
  """
  @spec trace_causes(event_id :: pos_integer, keyword) :: [Events.t()] | Query.error()
  def trace_causes(event_id, opts \\ []), do: Flow.trace_causes(event_id, opts)

  @doc """
  The events that followed from an event, across processes, oldest first: of a call what happened in it, of a message its arrival and the
  call that handles it, of a request that arrived its answer, of a birth what the process did because of it, of a death the messages that
  told it. The event itself is not among them.

      iex> ElixirScope.start()
      iex> require ElixirScope.Trace
      iex> since = ElixirScope.now()
      iex> ElixirScope.Trace.span("pay", nil, do: ElixirScope.Trace.event(:refused, nil))
      iex> [pay | _] = ElixirScope.get_events(since: since)
      iex> for event <- ElixirScope.trace_effects(pay.id), do: event.event_type
      [:user_event, :span_stop]

  ## Options

  #{Flow.chain_docs()}
  """
  @spec trace_effects(event_id :: pos_integer, keyword) :: [Events.t()] | Query.error()
  def trace_effects(event_id, opts \\ []), do: Flow.trace_effects(event_id, opts)

  # -- Time travel ------------------------------------------------------------------------------------------------------

  @doc """
  The state of a process at a time: integer nanoseconds as of `now/0`, a `DateTime`, or `:last`.

  Instrumented processes have a past (`ElixirScope.Instrument`), and those that are watched (`watch/2`). What was masked or cut
  when it was recorded carries its mark; how far the rest can be relied on is told by `fetch_state_at/3`, which also
  tells a state that looks like an error from an error.

      iex> ElixirScope.start()
      iex> {:ok, cart} = Agent.start_link(fn -> %{tea: 1} end)
      iex> {:ok, _ref} = ElixirScope.watch(cart)
      iex> before = ElixirScope.now()
      iex> Agent.update(cart, &Map.put(&1, :tea, 2))
      iex> Agent.get(cart, & &1)
      %{tea: 2}
      iex> ElixirScope.get_state_at(cart, before)
      %{tea: 1}
      iex> ElixirScope.get_state_at(cart, :last)
      %{tea: 2}

  ## Reasons of an error

    * `:no_state_recorded`: there is none, or none as early as that
    * `{:exited, at_ns, exit_reason}`: the process had ended by then, as far as its end was recorded; `:last` gives its last state
    * `:evicted`: the store had no room to keep it
    * `{:remote, node}`: each node has its own tape

  ## Options

  #{Timeline.state_docs()}
  """
  @spec get_state_at(pid, Timeline.time() | :last, keyword) :: (state :: term) | Timeline.error()
  def get_state_at(pid, time, opts \\ []), do: Timeline.get_state_at(pid, time, opts)

  @doc """
  As `get_state_at/3`, as `{:ok, state, meta}`, where `meta` says how far the state can be relied on.

    * `quality`: `:exact`, `:unverified` (nothing that was seen speaks against it, nothing later has proved it yet), or `:approximate` (a part
      of it was lost, cut, or could not be seen)
    * `module`: whose state it is; `recorded_at` and `event_id`: the change that led to it
    * `replayed`: changes that were applied to answer; `redacted`: masked values in it
    * `alive`: true if the process lives now, else `:unknown`

  An example:

      iex> ElixirScope.start()
      iex> {:ok, cart} = Agent.start_link(fn -> %{token: "abc"} end)
      iex> {:ok, _ref} = ElixirScope.watch(cart)
      iex> {:ok, state, meta} = ElixirScope.fetch_state_at(cart, :last)
      iex> {inspect(state), meta.module, meta.redacted, meta.alive}
      {"%{token: #ElixirScope.Redacted<>}", Agent.Server, 1, true}
  """
  @spec fetch_state_at(pid, Timeline.time() | :last, keyword) ::
          {:ok, state :: term, Timeline.meta()} | Timeline.error()
  def fetch_state_at(pid, time, opts \\ []), do: Timeline.fetch_state_at(pid, time, opts)

  @doc """
  The changes of the state of a process, oldest first.

      iex> ElixirScope.start()
      iex> {:ok, cart} = Agent.start_link(fn -> %{tea: 1} end)
      iex> {:ok, _ref} = ElixirScope.watch(cart)
      iex> for n <- [2, 3], do: Agent.update(cart, &Map.put(&1, :tea, n))
      iex> Agent.get(cart, & &1)
      %{tea: 3}
      iex> for change <- ElixirScope.get_state_history(cart, limit: 2), do: {change.old_state, change.new_state}
      [{%{tea: 1}, %{tea: 2}}, {%{tea: 2}, %{tea: 3}}]

  A process of which no state was ever recorded is `{:error, :no_state_recorded}`.

  ## Options

  #{Timeline.history_docs()}
  """
  @spec get_state_history(pid, keyword) :: [Events.StateChange.t()] | Timeline.error()
  def get_state_history(pid, opts \\ []), do: Timeline.get_state_history(pid, opts)

  @doc """
  What changed in the state of a process from one time to another, by paths of keys and indexes.

      iex> ElixirScope.start()
      iex> {:ok, cart} = Agent.start_link(fn -> %{tea: 1, owner: %{name: "Ann"}} end)
      iex> {:ok, _ref} = ElixirScope.watch(cart)
      iex> before = ElixirScope.now()
      iex> Agent.update(cart, &put_in(&1.owner.name, "Bob"))
      iex> Agent.get(cart, & &1.owner.name)
      "Bob"
      iex> ElixirScope.get_state_diff(cart, before, :last)
      {:ok, [%{path: [:owner, :name], op: :changed, old: "Ann", new: "Bob"}]}

  `old` is nil of what was added, `new` of what was removed; of a masked value that changed both are `ElixirScope.Redacted`. Reasons and
  options are those of `get_state_at/3`.
  """
  @spec get_state_diff(pid, from :: Timeline.time() | :last, to :: Timeline.time() | :last, keyword) ::
          {:ok, [Timeline.change()]} | Timeline.error()
  def get_state_diff(pid, from, to, opts \\ []), do: Timeline.get_state_diff(pid, from, to, opts)

  @doc """
  The last change that touched a part of the state, or the first one after a time; `[]` is the whole state.

      iex> ElixirScope.start()
      iex> {:ok, cart} = Agent.start_link(fn -> %{tea: 1, mugs: 0} end)
      iex> {:ok, _ref} = ElixirScope.watch(cart)
      iex> for key <- [:tea, :mugs], do: Agent.update(cart, &Map.put(&1, key, 7))
      iex> Agent.get(cart, & &1)
      %{tea: 7, mugs: 7}
      iex> ElixirScope.last_change(cart, [:tea]).new_state
      %{tea: 7, mugs: 0}
      iex> ElixirScope.last_change(cart, [:milk])
      {:error, :never_changed}

  The other reasons are those of `get_state_at/3`.

  ## Options

  #{Timeline.change_docs()}
  """
  @spec last_change(pid, path :: [term], keyword) ::
          Events.StateChange.t() | {:error, :never_changed} | Timeline.error()
  def last_change(pid, path, opts \\ []), do: Timeline.last_change(pid, path, opts)

  @doc """
  Has the state of a live process recorded from now on, without instrumentation: of a GenServer, `Agent`, `Supervisor` and all else that is a
  `gen_server`, of a state machine, and with `interval: ms` of what answers `:sys.get_state/1`.

  The process is told by `:sys.install/2`, and untold when the watch ends: by `unwatch/1`, at one of its limits, with the
  calling process, with the watched one, and with `stop/0`. Several watches of one process record its changes once.

      iex> ElixirScope.start()
      iex> {:ok, agent} = Agent.start_link(fn -> 1 end)
      iex> {:ok, ref} = ElixirScope.watch(agent, max: 1_000, for: 60_000)
      iex> Agent.update(agent, & &1 + 1)
      iex> Agent.get(agent, & &1)
      2
      iex> [watch] = ElixirScope.status().watches
      iex> {watch.ref == ref, watch.mode, watch.recorded}
      {true, :changes, 1}
      iex> ElixirScope.unwatch(ref)
      :ok

  A server's change is recorded right after its reply has been sent, and a state machine is looked at when it has taken up what its mailbox
  held: several changes can be seen as one, and what it held between two looks is `:approximate`. What `:sys.replace_state/2` puts in
  place is seen at the next change only. Therefore no state that was watched is called `:exact`.

  A process that was not started as one of an OTP behaviour is refused without being sent anything. One that does not answer within a
  second is `{:error, %ElixirScope.Error{reason: {:timeout, 1_000}}}`.

  ## Options

  #{Watch.docs()}
  """
  @spec watch(pid | atom | {:global, term} | {:via, module, term}, keyword) ::
          {:ok, reference} | {:error, :not_running | {:remote, node} | Error.t()}
  def watch(process, opts \\ []), do: Watch.watch(process, opts)

  @doc """
  Ends a watch, or all of them with `:all`, from any process. `:ok` also where it has ended already.
  """
  @spec unwatch(reference | :all) :: :ok | {:error, :not_running | Error.t()}
  defdelegate unwatch(ref), to: Watch

  # -- Traces -----------------------------------------------------------------------------------------------------------

  @doc """
  Records what the VM itself tells: of processes, or of functions that are not instrumented.

  The target is a pid, the name of a process, a list of these, `:all`, `:new` for processes that are born from now on,
  `{:tree, supervisor}`, `{:app, application}`; or functions: `{module, function, arity}` (with `:_` for any), `{:module, module}`, what
  `match/1` makes, or a list of these.

      iex> ElixirScope.start()
      iex> {:ok, ref} = ElixirScope.trace({URI, :parse, 1}, max: 2)
      iex> Enum.map(["//elixir-lang.org"], &URI.parse(&1).host)
      ["elixir-lang.org"]
      iex> for event <- ElixirScope.get_events(pid: self(), module: URI), do: event.event_type
      [:function_entry, :function_exit]
      iex> ElixirScope.untrace(ref)
      :ok

  Every trace has three limits, `:for`, `:max` and `:rate`, and ends at the first one that it comes to: the VM's flags are removed, a
  `ElixirScope.Events.TraceControl` says why, and so does `status/0`. It ends with `stop/0`, too.

      iex> ElixirScope.start()
      iex> {:ok, _ref} = ElixirScope.trace(self(), events: [:send], max: 3)
      iex> for n <- 1..5, do: send(self(), n)
      iex> for event <- ElixirScope.get_events(event_type: :message_send, pid: self()), do: event.message
      [1, 2, 3]

  What could hurt the node is refused unless `force: true` is given: all functions of a module that everything calls, returns of loops,
  ElixirScope itself, the group leader and what writes the log, processes that are `sensitive`. Below OTP 27, a process has one
  tracer and a function one pattern: what another tool such as `:dbg` has set is left alone, and the answer is
  `{:traced_by_other, …}`. See the guide on tracing.

  ## Options

  #{Tracing.docs()}
  """
  @spec trace(term, keyword) :: {:ok, reference} | {:error, :not_running | {:remote, node} | Error.t()}
  def trace(target, opts \\ []), do: Tracing.trace(target, opts)

  @doc """
  Ends a trace, or all of them with `:all`, from any process: nothing more is recorded by it, and its flags and patterns are gone when
  this has answered. `:ok` also where it has ended already.

      iex> ElixirScope.start()
      iex> {:ok, ref} = ElixirScope.trace(:new)
      iex> [%{ref: ^ref, target: :new}] = ElixirScope.status().traces
      iex> ElixirScope.untrace(ref)
      :ok
      iex> [%{ref: ^ref, reason: :stopped} | _] = ElixirScope.status().ended_traces
  """
  @spec untrace(reference | :all) :: :ok | {:error, :not_running | Error.t()}
  defdelegate untrace(ref), to: Tracing

  @doc """
  Calls of a function by its head, as a target of `trace/2` or for its options `:functions` and `:stop_when`.

      iex> require ElixirScope
      iex> ElixirScope.match(Shop.Cart.add(%{user: user}, count) when user > 100 and is_integer(count))
      {:match, {Shop.Cart, :add, 2},
       [
         {[%{user: :"$1"}, :"$2"], [{:andalso, {:>, :"$1", 100}, {:is_integer, :"$2"}}], []}
       ]}

  Values from outside are pinned, as in `Shop.Cart.add(%{user: ^user}, _)`. What the VM's match specs do not know, such as the parts of a
  binary, is an error when the code is compiled.
  """
  defmacro match(head), do: ElixirScope.Tracing.FunctionHead.to_match_spec(head, __CALLER__)

  # -- Lives of processes -----------------------------------------------------------------------------------------------

  @doc """
  The processes of this node as a tree of parents and children, now or at an earlier time.

      iex> ElixirScope.start()
      iex> {:ok, supervisor} = Supervisor.start_link([{Agent, fn -> 1 end}], strategy: :one_for_one)
      iex> tree = ElixirScope.process_tree()
      iex> find = fn find, nodes -> Enum.find_value(nodes, &(&1.pid == supervisor && &1 || find.(find, &1.children))) end
      iex> node = find.(find, tree.children)
      iex> {node.kind, node.initial_call}
      {:supervisor, {:supervisor, Supervisor.Default, 1}}
      iex> [agent] = node.children
      iex> {agent.kind, agent.alive, supervisor in agent.links}
      {:worker, true, true}

  Of an earlier time it is told by the tape: births, ends, links and names that `trace/2` recorded. `complete` says whether that is all, and
  where it is not `reason` says why:

    * `:not_traced`: not all births and ends since that time were recorded. Then what lives now and was not recorded as born later is taken for
      alive at that time, and what ended unseen is missing
    * `:events_lost`: some of them were lost
    * `:too_many_events`, `:too_many_processes`: more than are looked at

  Each process is a map of `pid`, `parent`, `name`, `alive`, `born_at`, `exited_at`, `exit_reason`, `initial_call`, `current`, `links`,
  `restarts`, `kind` (`:supervisor`, `:worker`, `:other`) and `children`. What is not known is nil. A dead one (`alive: false`) stands only
  where it is the parent of others; `exited_at` tells also of an end that came later. `current` is the function that it is in, at
  an earlier time the innermost recorded call.

  ## Options

  #{Life.tree_docs()}
  """
  @spec process_tree(keyword) :: Life.tree() | Life.error()
  def process_tree(opts \\ []), do: Life.process_tree(opts)

  @doc """
  The story of the end of a process: what it was and held, what it was doing, who went along with it, who came in its place.

  An end is known from a trace with `:procs`, or from a crash that the logger was told of, which needs no trace. The others are
  `{:error, :no_exit_recorded}`, living processes among them:

      iex> ElixirScope.start()
      iex> ElixirScope.get_crash_report(self())
      {:error, :no_exit_recorded}

  The answer is `{:ok, map}`:

    * `pid`, `name`, `initial_call`, `supervisor`, `born_at`: as far as recorded
    * `exited_at`, `reason`, and `recorded`, which says of what: `:exit` or `:crash`; `crash`: the `ElixirScope.Events.CrashDump`
    * `state`: `{:ok, state, meta}` as by `fetch_state_at/3` of `:last`; of a process without a recorded state the one that the crash tells, with
      `source: :crash`; or `{:error, reason}`
    * `handling`: the entry of the outermost recorded call that it was in, of a server the callback with its message; `calls`: all of
      them, each with its `entry` and `exit`, nil where it had no time for one
    * `messages`: the last ten that it got, where those were traced, but for answers of the code server and of I/O
    * `cause`: the process with whose end it began, nil where that is this one
    * `followed`: who ended because of it, in order, each with `pid`, `name`, `at`, `reason`, `by` (whose end led to it) and `how`: `:link`,
      `:call` (it waited for a reply), `:stopped` (by a supervisor), `:gave_up` (the supervisor)
    * `restart`: the process that came in its place, with `at` and how many `restarts` that makes, or nil
    * `events`: crashes, ends and births of all of them, in order
  """
  @spec get_crash_report(pid) ::
          {:ok, Life.CrashReport.t()} | {:error, :no_exit_recorded} | Life.error()
  def get_crash_report(pid), do: Life.get_crash_report(pid)

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
