defmodule ElixirScope.Native do
  @moduledoc false

  # The only module with NIF stubs; called by the wrappers only (and by the code that `ElixirScope.Trace` and the
  # instrumentation inject).
  #
  # `@on_load` always answers `:ok` and keeps the reason of a failure, since a module whose `@on_load` fails is unloaded,
  # and all that a user then sees is an `UndefinedFunctionError`. A capture stub answers as if the recorder were off when the
  # library is missing; any other stub raises `ElixirScope.Error` with the load failure.
  #
  # The module can be loaded again while processes record: `load_nif` of the same file then goes through the library's
  # `upgrade` callback, and the recorder lives in the library's statics, not in the module instance. For this reason
  # nothing here keeps state, and no function here calls a stub locally.
  #
  # ## Shapes of what crosses the boundary
  #
  # "absent" means that the key is not in the map. All times are integer nanoseconds on the tape's clock.
  #
  # ### `start(config)`: every key is always there
  #
  #     %{
  #       buffer_bytes: pos_integer,                    # one writer's ring, at most total_bytes
  #       total_bytes: pos_integer,                     # >= 65_536
  #       overflow_strategy: :drop_oldest | :drop_newest,
  #       max_payload_bytes: pos_integer,               # >= 16
  #       max_state_bytes: pos_integer,
  #       max_depth: pos_integer,
  #       max_length: pos_integer | :infinity,
  #       raw_terms: :auto | false,
  #       redact: false | {:mask, [{atom, binary}]} | {:only, [{atom, binary}]},   # each key as atom and as string
  #       memory_limit: pos_integer,                    # the store, bytes; >= 1_048_576
  #       max_events: pos_integer | :infinity,
  #       max_age_ns: pos_integer | :infinity,
  #       sampling_rate: float,                         # 0.0 ..= 1.0
  #       time_offset: integer,                         # added to a timestamp to get wall_time
  #       node: atom                                    # the name of this node
  #     }
  #
  # -> `:ok | {:error, :already_running} | {:error, {:memory_limit_too_small, given, least}} | {:error, term}`. Calls of start and stop are serialised by the caller
  # (`ElixirScope.Recorder`), but the library must stand two at once.
  #
  # ### `update_config(changes)`: any of
  #
  #     max_payload_bytes, max_state_bytes, max_depth, max_length, redact, sampling_rate   (shapes as above)
  #
  # -> `:ok | {:error, :not_running}`
  #
  # ### Sites and tokens
  #
  # A site is the literal `{id, descriptor}` of `ElixirScope.Site`; both ends of a call pass the same one. What is no site is
  # recorded without a place. A call begins with `enter_*`, which answers a token, and ends with one of `exit`, `exit_void`
  # (the result is not recorded), `exit_tail`, `exit_error`, `exit_callback`. A negative token (the recorder is off, the
  # process muted, the site switched off) makes all of them, and `loop_state`, do nothing.
  #
  # ### Callbacks
  #
  # `exit_callback(site, token, result, old_state, trigger)` ends a call whose site has a state's shape in its role. It
  # records, in this order: a `:state_change`, if the result holds a state that is another one than `old_state`, with
  # `trigger` as its message and what changed within `max_state_bytes`, if the call is the outermost one of its module that
  # ends with a state; a `:callback_reply`, if the result replies or says what the process does next; the `:function_exit`.
  # A state change is never sampled away. `old_state` of a first callback is
  # `:"$elixir_scope_none"`, and of a state machine `{name, data}`, as is its new state. Where the state stands:
  #
  #     :init         {:ok, S} | {:ok, S, next} | {:ok, S, next, backoff}
  #     :server       {:noreply, S} | {:hibernate, S} | {:noreply, S, next} | {:reply, R, S} | {:reply, R, S, next} | {:stop, _, S} | {:stop, _, R, S}
  #     :code_change  {:ok, S}
  #     :event        {:ok, S} | {:ok, S, :hibernate} | {:swap_handler, _, S, _, _}, and in handle_call {:ok, R, S} |
  #                   {:ok, R, S, :hibernate} | {:swap_handler, R, _, S, _, _}; {:remove_handler, R} replies
  #     :socket       as :server; {:ok, S} | {:ok, S, options}, and in join {:ok, R, S}
  #     :stage        {:producer | :consumer | :producer_consumer, S} | the same with options | {:automatic | :manual, S} |
  #                   {:noreply, events, S} | {:noreply, events, S, next} | {:reply, R, events, S} | {:reply, R, events, S, next} |
  #                   {:stop, _, S} | {:stop, _, R, S}
  #     :statem       {:ok | :next_state, N, D} | {:keep_state | :repeat_state, D} | {:stop, _, D}, all but the last with
  #                   actions or without; {:stop_and_reply, _, replies, D}; of replies and timeouts the first one counts
  #
  # next is a timeout, :hibernate or {:continue, data}.
  #
  # ### Other states
  #
  # `loop_state(site, token, state)` at the beginning of a loop's round records its state, unless the round before handed it on
  # by `loop_state(site, token, old_state, new_state)`, right before the tail call; that records what changed. Both want a site of
  # the role `:loop`. `state_seen(site, old_state, new_state)`, called in a process, records what changed in its state, and the
  # whole where `old_state` is `:"$elixir_scope_none"` or not the one that was recorded last; `state_of(site, pid, state)` the
  # whole state of another process. The module is that of the site. None of them is sampled.
  #
  # ### Messages
  #
  # `message(site, type, receiver, message)`: the receiver is a pid, the `{pid, tag}` of a caller, or what stands for one; a name
  # of this node is looked up, and `to_dead` is true where nobody has it. `spawned(site, result)` finds the child in `pid`,
  # `{pid, ref}`, `{:ok, pid}`, `{:ok, pid, _}`, `%Task{pid: pid}`; anything else records nothing. Neither is sampled away.
  #
  # ### `switch(%{strategy: nil | :minimal | :balanced | :full_trace, rules: [{module | {module, function, arity}, boolean}]})`
  #
  # -> `:ok`; replaces the whole set, with or without a recorder, for sites seen and unseen. The last rule that matches a site
  # decides; then the strategy, by the site's role: `:minimal` takes callbacks, chosen functions and marks, `:balanced` public
  # functions as well, `:full_trace` and `nil` all.
  #
  # ### The query map: only the keys that were given (`limit`, `order` and `payload` are always there)
  #
  #     %{
  #       pid: [pid],                                   # absent for :all; [] matches nothing
  #       exclude: pid,                                 # leaves out the events of this process
  #       event_type: [atom],                           # absent for :all; known kinds only; [] matches nothing
  #       module: atom, function: atom, arity: 0..255,
  #       since: integer, until: integer,               # inclusive; of 64 bits
  #       limit: pos_integer | :infinity,
  #       order: :asc | :desc,
  #       before: pos_integer, after: non_neg_integer,  # event ids, exclusive; of 63 bits
  #       correlation_id: pos_integer | :ambiguous, call_id: pos_integer,
  #       where: [{[field :: atom | step :: term, ...], op, value}],   # the path is a proper list that begins with a field
  #       payload: boolean
  #     }
  #
  # A field is one of `ElixirScope.Events.fields/0`. A step is a map key, a keyword's key, or the index of a list or tuple.
  # `:exists` comes with a boolean, `:in` with a proper list, any other op with any term.
  #
  # `get_events` -> `[struct] | {:error, term}`; `count_events` -> `non_neg_integer | {:error, term}` (limit, order ignored);
  # `explain` -> the map of `t:ElixirScope.Query.Engine.explanation/0`; `estimate` -> `%{segments: n, rows: n, matches: n}`, what would
  # be looked at, from zone maps and indexes alone. All of them answer `{:error, :not_running}` when the recorder is not running,
  # and `{:error, {:timeout, ms}}` when writers in flight did not come to an end.
  #
  # ### Export
  #
  # `export_open(query, names)` -> `{:ok, export} | {:error, term}`: of the events that the query asks for as of now; `order` is ignored,
  # `payload: false` leaves captured values out. `names` are what the host calls processes. `export_step(export)` -> `{bytes, progress}`:
  # what is to be written next, a megabyte or so, and how far it has come: `done` of `total`, of whatever they count. After
  # `complete: true` nothing more comes. `{:error, :not_running}` once the recorder has been stopped.
  #
  # ### Flows
  #
  #     message_flow(query + %{from_names: [term], to_names: [term], both: boolean, [from: [pid]], [to: [pid]]})
  #       -> [%Events.MessageSend{}] | {:error, term}
  #
  #     causes(%{id: event_id, limit: n | :infinity}), effects(…) -> [struct] | {:error, :no_event | term}
  #
  # Without `from:` or `to:` any process is meant. `pid:` and `event_type:` of the query do not matter.
  #
  # ### Timelines
  #
  # A time is an integer or `:last`; `module:` names one of the timelines of a process, the first-born is meant without it. All of them
  # answer `{:error, :not_running}` and `{:error, {:timeout, ms}}` as queries of events do. `reason` is `:no_state_recorded`, `:evicted`,
  # or `{:exited, ns, exit_reason}` for a time at or after an exit that was recorded.
  #
  #     state_at(%{pid:, time:, [module:]})
  #       -> {:ok, state, %{quality:, module:, recorded_at:, event_id:, replayed:, redacted:}} | {:error, reason}
  #     state_diff(%{pid:, from:, to:, [module:]}) -> {:ok, [%{path:, op:, old:, new:}]} | {:error, reason}
  #     last_change(%{pid:, path: [term], [module:], [before: ns] | [after: ns]})    # at or before; later than
  #       -> %Events.StateChange{} | {:error, :never_changed | reason}
  #     states_at(%{time:}) -> [{pid, module, state, meta}] | {:error, reason}
  #     stacks_at(%{time:}) -> [{pid, last_event_id, [entry event, innermost first]}] | {:error, reason}
  #     timeline_pids() -> [{pid, module}] | {:error, reason}
  #
  # ### Events
  #
  # A struct of `ElixirScope.Events.<Name>` with all of its fields; see `ElixirScope.Events.kinds/0` for the names. What a row does
  # not know is `nil`. `wall_time` = timestamp + time_offset, `node` = the name of this node. The header's `correlation_id`
  # and `parent_id` and `call_id` are `nil` for 0. `file` is a binary. With `payload: false` the captured terms are `nil`.
  # Marks: `%ElixirScope.Truncated{kind:, kept:, total:, prefix:}`, `%ElixirScope.Redacted{}`.
  #
  # ### `status()`: %{...} | {:error, :not_running}
  #
  #     %{
  #       paused: boolean,
  #       started_at: integer,                          # tape's clock
  #       capture: %{events: n, per_second: number, lost: %{cause :: atom => n}, bytes: n, capacity_bytes: n, writers: n},
  #       store: %{events: n, segments: n, bytes: %{total: n, part => n}, memory_limit: n, oldest: ns | nil, newest: ns | nil, evicted: n},
  #       clock: %{source: binary, skew_ns: integer},
  #       terms: map,                                   # which shapes are read raw, which fell back
  #       faults: %{panics: n, last: binary | nil},
  #       overhead: %{capture_ns: number | nil, cpu_ns: n},
  #       processes: %{slots: n, in_use: n, without_slot: n},
  #       timelines: %{processes: n, changes: n, verified: n, mismatches: n, bytes: n, evicted: n},
  #       subscriptions: n
  #     }
  #
  # More keys may stand in each of these maps: they are passed on as they are.
  #
  # ### Subscriptions
  #
  # `subscribe(query, relay, subscriber, capacity)`: `limit`, `order`, `before` in the query are ignored; the events of
  # `subscriber` are excluded. Events recorded before the call are not delivered. `capacity` counts events: past it new
  # events are dropped and counted. The relay is sent `{:elixir_scope_subscription, id}` whenever the queue stops being
  # empty, where "empty" is what a take left: after a take that answered fewer than `max` events, the next event sends
  # again. `subscription_take(id, max)` -> `{[event] (oldest first), dropped since the last take}`, `{:error, :closed}` for an
  # unknown id or a stopped recorder. A subscription whose relay is dead is closed by the library.
  #
  # ### RingBuffer
  #
  # `ring_new(size, policy)`, policy `:drop_oldest | :drop_newest | :block` -> `{:ok, ref} | {:error, term}`;
  # `ring_write` -> `:ok | {:error, :buffer_full} | {:error, :destroyed} | {:error, :large}`, the last for a term that would
  # keep a scheduler too long: it goes through `ring_write_large`, on a dirty one, which knows `{:error, :too_big}` instead; a refused write of `:drop_newest` counts as dropped,
  # one of `:block` does not: the wrapper tries again, and tells `ring_refused(ring)` when it gives up;
  # `ring_read(ring, position)` -> `{:ok, term, next} | {:lapped, missed, next} | :empty | {:error, :destroyed}`;
  # `ring_read_batch(ring, position, max)` -> `{terms, next, missed} | {:error, :destroyed}`;
  # `ring_stats(ring)` -> `%{size:, available:, total_writes:, dropped:, bytes:} | {:error, :destroyed}`;
  # `ring_clear` -> `:ok | {:error, :destroyed}`; `ring_destroy` -> `:ok` (twice as well).
  #
  # ### EventStore
  #
  # `store_new(%{memory_limit: n, max_events: n | :infinity, max_age_ns: n | :infinity, time_offset: integer, node: atom})` -> `{:ok, ref}`;
  # `store_put(ref, [struct])` -> `:ok | {:error, term}`, all or nothing; each struct is one of `ElixirScope.Events`, its
  # `timestamp` an integer of 64 bits, `pid` a local pid or nil; ids are given by the store, in the order of the list;
  # `store_query(ref, query)` -> `[struct] | {:error, term}`; `store_stats(ref)` -> a map as `store:` of `status()`.

  alias ElixirScope.Error

  @on_load :load

  @failure {__MODULE__, :failure}

  @type token :: integer
  @type site :: ElixirScope.Site.t()
  @type query :: map
  @type store :: reference
  @type ring :: reference
  @type export :: reference

  @doc false
  def load do
    path = library_path()

    case :erlang.load_nif(path, 0) do
      :ok -> :persistent_term.erase(@failure)
      {:error, {reason, text}} -> :persistent_term.put(@failure, {reason, path, text})
    end

    :ok
  end

  @doc "Why the library could not be loaded, or `nil`."
  @spec load_failure() :: nil | %Error{}
  def load_failure do
    case :persistent_term.get(@failure, nil) do
      nil ->
        nil

      {reason, path, text} ->
        %Error{
          reason: :library_not_loaded,
          details: %{reason: reason, path: to_string(path), text: to_string(text)}
        }
    end
  end

  # ELIXIR_SCOPE_LIBRARY names a prebuilt library. The emulator loads none but `.so` files; the Mix compiler has copied
  # any other to the usual place under that name.
  defp library_path do
    prebuilt = System.get_env("ELIXIR_SCOPE_LIBRARY", "")

    path =
      if Path.extname(prebuilt) == ".so",
        do: Path.rootname(prebuilt),
        else: Path.join(priv_dir(), "native/elixir_scope_nif")

    String.to_charlist(path)
  end

  # Where the application's folder is not on the code path, the beam stands in its ebin all the same.
  defp priv_dir do
    with {:error, :bad_name} <- :code.priv_dir(:elixir_scope) do
      case :code.which(__MODULE__) do
        [_ | _] = beam -> beam |> Path.dirname() |> Path.dirname() |> Path.join("priv")
        _in_memory -> "priv"
      end
    end
  end

  # -- Library ----------------------------------------------------------------------------------------------------------

  @spec load_info() :: %{profile: String.t(), version: String.t()}
  def load_info, do: missing()

  # Shows the raw reader terms of each shape, so that it learns and tests how this VM lays them out; called once, before
  # anything is recorded. Until then terms are read through the NIF interface. See `ElixirScope.RawTerms`.
  @spec raw_learn(samples :: term) :: term
  def raw_learn(_samples), do: missing()

  # -- Life cycle (dirty CPU) -------------------------------------------------------------------------------------------

  @spec start(map) :: :ok | {:error, term}
  def start(_config), do: missing()

  @spec stop() :: :ok
  def stop, do: missing()

  @spec pause() :: :ok | {:error, :not_running}
  def pause, do: missing()

  @spec resume() :: :ok | {:error, :not_running}
  def resume, do: missing()

  # Answers false, not an error, when the library is missing: what is not there does not run.
  @spec running() :: boolean
  def running, do: absent(false)

  @spec status() :: map | {:error, :not_running}
  def status, do: missing()

  @spec update_config(map) :: :ok | {:error, :not_running}
  def update_config(_changes), do: missing()

  # How much is recorded, from 0 for all to 4 for nothing; see `ElixirScope.Guard`. From 3 on all traces of the VM end.
  @spec guard_level(0..4) :: :ok | {:error, :not_running}
  def guard_level(_level), do: missing()

  # Counts since the start; `lost` are events that full rings lost.
  @spec guard_reading() ::
          %{
            level: 0..4,
            paused: boolean,
            recorded: non_neg_integer,
            lost: non_neg_integer,
            cpu_ns: non_neg_integer,
            capture_ns: non_neg_integer | nil
          }
          | {:error, :not_running}
  def guard_reading, do: missing()

  @spec now() :: integer | {:error, :not_running}
  def now, do: missing()

  @spec time_offset() :: integer | {:error, :not_running}
  def time_offset, do: missing()

  # -- Capture (normal schedulers; never raises) ------------------------------------------------------------------------

  @spec recording() :: boolean
  def recording, do: absent(false)

  @spec event(site, term, term) :: :ok
  def event(_site, _name, _data), do: absent(:ok)

  # An event whose data is a map that need not be made: `places` tells for each key at which of the values its own stands.
  @spec event_map(site, term, places :: map, term) :: :ok
  def event_map(_site, _name, _places, _1), do: absent(:ok)

  @spec event_map(site, term, places :: map, term, term) :: :ok
  def event_map(_site, _name, _places, _1, _2), do: absent(:ok)

  @spec event_map(site, term, places :: map, term, term, term) :: :ok
  def event_map(_site, _name, _places, _1, _2, _3), do: absent(:ok)

  @spec event_map(site, term, places :: map, term, term, term, term) :: :ok
  def event_map(_site, _name, _places, _1, _2, _3, _4), do: absent(:ok)

  @spec event_map(site, term, places :: map, term, term, term, term, term) :: :ok
  def event_map(_site, _name, _places, _1, _2, _3, _4, _5), do: absent(:ok)

  @spec event_map(site, term, places :: map, term, term, term, term, term, term) :: :ok
  def event_map(_site, _name, _places, _1, _2, _3, _4, _5, _6), do: absent(:ok)

  @spec metric(site, term, term, term, term) :: :ok
  def metric(_site, _name, _value, _unit, _metadata), do: absent(:ok)

  @spec span_start(site, term, term) :: token
  def span_start(_site, _name, _metadata), do: absent(-1)

  @spec span_stop(site, token, term, term) :: :ok
  def span_stop(_site, _token, _name, _exit_reason), do: absent(:ok)

  @spec snapshot(site, map) :: :ok
  def snapshot(_site, _bindings), do: absent(:ok)

  @spec enter_0(site) :: token
  def enter_0(_site), do: absent(-1)

  @spec enter_1(site, term) :: token
  def enter_1(_site, _1), do: absent(-1)

  @spec enter_2(site, term, term) :: token
  def enter_2(_site, _1, _2), do: absent(-1)

  @spec enter_3(site, term, term, term) :: token
  def enter_3(_site, _1, _2, _3), do: absent(-1)

  @spec enter_4(site, term, term, term, term) :: token
  def enter_4(_site, _1, _2, _3, _4), do: absent(-1)

  @spec enter_5(site, term, term, term, term, term) :: token
  def enter_5(_site, _1, _2, _3, _4, _5), do: absent(-1)

  @spec enter_6(site, term, term, term, term, term, term) :: token
  def enter_6(_site, _1, _2, _3, _4, _5, _6), do: absent(-1)

  @spec enter_7(site, term, term, term, term, term, term, term) :: token
  def enter_7(_site, _1, _2, _3, _4, _5, _6, _7), do: absent(-1)

  @spec enter_8(site, term, term, term, term, term, term, term, term) :: token
  def enter_8(_site, _1, _2, _3, _4, _5, _6, _7, _8), do: absent(-1)

  @spec enter_n(site, list) :: token
  def enter_n(_site, _args), do: absent(-1)

  @spec exit(site, token, term) :: :ok
  def exit(_site, _token, _result), do: absent(:ok)

  @spec exit_tail(site, token) :: :ok
  def exit_tail(_site, _token), do: absent(:ok)

  @spec exit_error(site, token, :error | :exit | :throw, term, list) :: :ok
  def exit_error(_site, _token, _class, _reason, _stacktrace), do: absent(:ok)

  # The end of a call whose result is not to be recorded.
  @spec exit_void(site, token) :: :ok
  def exit_void(_site, _token), do: absent(:ok)

  # The end of a callback that answers with a state; see "Callbacks" above.
  @spec exit_callback(site, token, result :: term, old_state :: term, trigger :: term) :: :ok
  def exit_callback(_site, _token, _result, _old_state, _trigger), do: absent(:ok)

  @spec loop_state(site, token, state :: term) :: :ok
  def loop_state(_site, _token, _state), do: absent(:ok)

  @spec loop_state(site, token, old_state :: term, new_state :: term) :: :ok
  def loop_state(_site, _token, _old_state, _new_state), do: absent(:ok)

  # `old_state` is `:"$elixir_scope_none"` where it is not known.
  @spec state_seen(site, old_state :: term, new_state :: term) :: :ok
  def state_seen(_site, _old_state, _new_state), do: absent(:ok)

  @spec state_of(site, pid, state :: term) :: :ok
  def state_of(_site, _pid, _state), do: absent(:ok)

  @spec message(site, :send | :call | :cast | :reply, receiver :: term, message :: term) :: :ok
  def message(_site, _type, _receiver, _message), do: absent(:ok)

  @spec spawned(site, result :: term) :: :ok
  def spawned(_site, _result), do: absent(:ok)

  # Dirty CPU: it looks at every site.
  @spec switch(%{
          strategy: nil | :minimal | :balanced | :full_trace,
          rules: [{module | {module, atom, arity}, boolean}]
        }) :: :ok
  def switch(_switches), do: missing()

  @spec mute() :: :ok
  def mute, do: absent(:ok)

  @spec mute_for_life() :: :ok
  def mute_for_life, do: absent(:ok)

  @spec unmute() :: :ok
  def unmute, do: absent(:ok)

  # -- The VM's tracer --------------------------------------------------------------------------------------------------

  # Called by the VM itself, on any scheduler: this module is the tracer, `{ElixirScope.Native, 0}`. Who sent a message is told by the
  # pattern of `:receive`, whose message must be the process, or, where that is `:undefined`, the node, the port or `:clock_service` that
  # it came from (so a timer's message is told from one of a process); see `ElixirScope.Tracing.Session`.

  @spec enabled(tag :: atom, state :: term, tracee :: pid | port) :: :trace | :discard | :remove
  def enabled(_tag, _state, _tracee), do: absent(:remove)

  # What the VM asks in its place of calls, sends and arrivals, if a tracer has them: those that come most often, and need not be told apart.
  @spec trace(tag :: atom, state :: term, tracee :: pid | port, term, opts :: map) :: term
  def trace(_tag, _state, _tracee, _first, _opts), do: absent(:ok)

  # At most 16 at a time, numbers 0 to 15. `args` and `returns` say whether the terms are recorded; `scope` whom it is about besides
  # its members.
  @spec trace_open(%{
          events: [:call | :return | :exception | :send | :receive | :procs | :gc],
          args: boolean,
          returns: boolean,
          max: pos_integer | :infinity,
          rate: pos_integer | :infinity,
          for: pos_integer | :infinity,
          scope: :members | :all | :new,
          only_inside: mfa | nil,
          follow: nil | :spawn | :message,
          exact: boolean
        }) :: {:ok, number :: 0..15} | {:error, :too_many_traces | :not_running | :guard}
  def trace_open(_config), do: missing()

  @spec trace_members(number :: 0..15, [pid], boolean) :: :ok
  def trace_members(_number, _pids, _in), do: missing()

  # Of these processes the VM tells a trace nothing, though they would belong to it: they are spared, or somebody else's.
  @spec trace_leave_out(number :: 0..15, [pid]) :: :ok
  def trace_leave_out(_number, _pids), do: missing()

  # Once all flags are set; before it instrumented code tells of itself.
  @spec trace_record(number :: 0..15) :: :ok
  def trace_record(_number), do: missing()

  # Which traces a function belongs to; before the VM is told its pattern. The match spec of that can say `{:es, stop, frames}`: `stop`
  # is true or a set of numbers as bits, of those that end with this call; `frames` a list of frames, one, or anything else.
  @spec trace_function(mfa, file :: String.t(), line :: non_neg_integer, [number :: 0..15]) :: :ok
  def trace_function(_function, _file, _line, _numbers), do: missing()

  # Nothing more is recorded by it. The first reason holds.
  @spec trace_end(number :: 0..15, atom) :: :ok
  def trace_end(_number, _reason), do: missing()

  # After its flags and patterns are gone.
  @spec trace_free(number :: 0..15) :: :ok
  def trace_free(_number), do: missing()

  # `missed` is how often a process that belongs to a trace found no room among the members of traces, of which there are 131,072: it is
  # not recorded, or not what the trace has to remember of it.
  @spec trace_status() :: [
          {number :: 0..15, :running | {:ended, :max | :rate | :for | :stop_when | :stopped | :guard},
           recorded :: non_neg_integer, skipped :: non_neg_integer, missed :: non_neg_integer}
        ]
  def trace_status, do: missing()

  # The `TraceControl` event, which is of no process.
  @spec trace_note(operation :: atom, target :: term, limits :: map | nil, reason :: term) :: :ok
  def trace_note(_operation, _target, _limits, _reason), do: absent(:ok)

  # -- Crashes ----------------------------------------------------------------------------------------------------------

  # The state of a process, encoded within the budget of a payload and masked; nil while nothing is recorded.
  @spec crash_state(state :: term) :: binary | nil
  def crash_state(_state), do: absent(nil)

  # The `CrashDump` event of a process of this node, unless that is muted. The state is what `crash_state/1` made of it.
  @spec crash_note(
          pid,
          reason :: term,
          state :: binary | nil,
          supervisor :: pid | nil,
          restarts :: non_neg_integer | nil,
          links :: [pid] | nil
        ) :: :ok
  def crash_note(_pid, _reason, _state, _supervisor, _restarts, _links), do: absent(:ok)

  # -- Queries (dirty CPU) ----------------------------------------------------------------------------------------------

  @spec get_events(query) :: [struct] | {:error, term}
  def get_events(_query), do: missing()

  @spec message_flow(map) :: [struct] | {:error, term}
  def message_flow(_query), do: missing()

  @spec causes(map) :: [struct] | {:error, term}
  def causes(_question), do: missing()

  @spec effects(map) :: [struct] | {:error, term}
  def effects(_question), do: missing()

  @spec count_events(query) :: non_neg_integer | {:error, term}
  def count_events(_query), do: missing()

  @spec explain(query) :: map | {:error, term}
  def explain(_query), do: missing()

  @spec estimate(query) :: map | {:error, term}
  def estimate(_query), do: missing()

  # -- Export (dirty CPU) -----------------------------------------------------------------------------------------------

  @spec export_open(query, names :: [{pid, String.t()}]) :: {:ok, export} | {:error, term}
  def export_open(_query, _names), do: missing()

  @spec export_step(export) ::
          {binary,
           %{
             events: non_neg_integer,
             tracks: non_neg_integer,
             done: non_neg_integer,
             total: non_neg_integer,
             complete: boolean
           }}
          | {:error, term}
  def export_step(_export), do: missing()

  # -- Timelines (dirty CPU) --------------------------------------------------------------------------------------------

  @spec state_at(map) :: {:ok, term, map} | {:error, term}
  def state_at(_query), do: missing()

  @spec state_diff(map) :: {:ok, [map]} | {:error, term}
  def state_diff(_query), do: missing()

  @spec last_change(map) :: struct | {:error, term}
  def last_change(_query), do: missing()

  @spec states_at(map) :: [{pid, module, term, map}] | {:error, term}
  def states_at(_query), do: missing()

  @spec stacks_at(map) :: [{pid, pos_integer, [struct]}] | {:error, term}
  def stacks_at(_query), do: missing()

  @spec timeline_pids() :: [{pid, module}] | {:error, term}
  def timeline_pids, do: missing()

  # -- Subscriptions ----------------------------------------------------------------------------------------------------

  @spec subscribe(query, relay :: pid, subscriber :: pid, capacity :: pos_integer) ::
          {:ok, integer} | {:error, term}
  def subscribe(_query, _relay, _subscriber, _capacity), do: missing()

  @spec subscription_take(integer, max :: pos_integer) ::
          {[struct], dropped :: non_neg_integer} | {:error, :closed}
  def subscription_take(_id, _max), do: missing()

  @spec subscription_close(integer) :: :ok
  def subscription_close(_id), do: missing()

  # -- RingBuffer -------------------------------------------------------------------------------------------------------

  @spec ring_new(pos_integer, :drop_oldest | :drop_newest | :block) :: {:ok, ring} | {:error, term}
  def ring_new(_size, _policy), do: missing()

  @spec ring_write(ring, term) :: :ok | {:error, :buffer_full | :destroyed | :large}
  def ring_write(_ring, _term), do: missing()

  @spec ring_write_large(ring, term) :: :ok | {:error, :buffer_full | :destroyed | :too_big}
  def ring_write_large(_ring, _term), do: missing()

  @spec ring_refused(ring) :: :ok
  def ring_refused(_ring), do: missing()

  @spec ring_read(ring, non_neg_integer) ::
          {:ok, term, non_neg_integer}
          | {:lapped, pos_integer, non_neg_integer}
          | :empty
          | {:error, :destroyed}
  def ring_read(_ring, _position), do: missing()

  @spec ring_read_batch(ring, non_neg_integer, pos_integer) ::
          {[term], non_neg_integer, non_neg_integer} | {:error, :destroyed}
  def ring_read_batch(_ring, _position, _max), do: missing()

  @spec ring_stats(ring) :: map | {:error, :destroyed}
  def ring_stats(_ring), do: missing()

  @spec ring_clear(ring) :: :ok | {:error, :destroyed}
  def ring_clear(_ring), do: missing()

  @spec ring_destroy(ring) :: :ok
  def ring_destroy(_ring), do: missing()

  # -- EventStore (dirty CPU) -------------------------------------------------------------------------------------------

  @spec store_new(map) :: {:ok, store} | {:error, term}
  def store_new(_config), do: missing()

  @spec store_put(store, [struct]) :: :ok | {:error, term}
  def store_put(_store, _events), do: missing()

  @spec store_query(store, query) :: [struct] | {:error, term}
  def store_query(_store, _query), do: missing()

  @spec store_stats(store) :: map
  def store_stats(_store), do: missing()

  # -- For tests and benchmarks ---------------------------------------------------------------------------------------------

  # An empty call, against which benchmarks measure the others.
  @spec noop_3(term, term, term) :: :ok
  def noop_3(_1, _2, _3), do: absent(:ok)

  @spec term_encode(term, map) :: binary
  def term_encode(_term, _options), do: missing()

  @spec term_decode(binary) :: term | {:error, term}
  def term_decode(_bytes), do: missing()

  @spec term_delta(old :: term, new :: term, map) :: {binary, whole :: boolean} | :same | :too_much
  def term_delta(_old, _new, _options), do: missing()

  @spec term_patch(binary, [binary]) ::
          {binary, fits :: boolean, knows :: boolean} | {:error, term}
  def term_patch(_value, _deltas), do: missing()

  # How many states were recorded whole since the library was loaded, and how many changes were checked by one.
  @spec states_told() :: {whole :: non_neg_integer, checked :: non_neg_integer}
  def states_told, do: missing()

  @spec term_fingerprint(term, map) :: non_neg_integer
  def term_fingerprint(_term, _options), do: missing()

  @spec term_shapes() :: map
  def term_shapes, do: missing()

  @spec raw_terms(:auto | false) :: :ok
  def raw_terms(_path), do: missing()

  # ---------------------------------------------------------------------------------------------------------------------

  # `:erlang.nif_error/1` raises like `:erlang.error/1`, but tells dialyzer that a library stands in here.
  defp missing, do: :erlang.nif_error(load_failure() || not_loaded_yet())

  defp not_loaded_yet, do: %Error{reason: :library_not_loaded, details: %{reason: :not_loaded}}

  # What a capture stub answers in place of the library. The detour keeps compilers and dialyzer from taking the constant
  # for all that the function can answer.
  defp absent(answer), do: :persistent_term.get({__MODULE__, :absent}, answer)
end
