defmodule ElixirScope.Config do
  alias ElixirScope.{Error, Options}

  # Secrets that systems commonly hold, as keys of maps, structs, keyword lists and headers.
  @redact ~w(
    password passwd pwd passphrase password_confirmation current_password hashed_password password_hash
    secret secret_key secret_key_base client_secret private_key
    token access_token refresh_token id_token auth_token session_token csrf_token _csrf_token
    api_key apikey api_secret authorization proxy-authorization x-api-key cookie set-cookie credentials
    credit_card credit_card_number card_number cardnumber cvv cvc cvv2 ssn
  )a

  @strategies [:minimal, :balanced, :full_trace]

  # What one event of a ring takes, for `buffer_size`: a record's head of 40 bytes and some 60 bytes of encoded terms.
  @event_bytes 100

  @auto_integer {:or, :auto, {:or, :infinity, :pos_integer}}

  @schema [
    enabled: [
      type: :boolean,
      default: true,
      doc: "Whether anything runs at all; `false` makes `ElixirScope.start/1` answer `:ok` and do nothing."
    ],
    strategy: [
      type: {:one_of, @strategies},
      default: :balanced,
      doc:
        "What instrumentation records of a module, see `ElixirScope.Instrument`: of modules that are instrumented on the running node, " <>
          "and, where it is given, no more of those that the compiler instrumented."
    ],
    sampling_rate: [
      type: {:number, 0, 1},
      default: 1.0,
      updatable: true,
      doc:
        "The share of outermost calls and spans that is recorded, each with the calls and spans inside it. Events, metrics and " <>
          "snapshots are recorded always, also inside a span that is not."
    ],
    modules: [
      type: {:list_of, :atom},
      default: [],
      doc: "Modules to instrument when the recorder starts, as by `ElixirScope.instrument/2`."
    ],
    exclude_modules: [
      type: {:list_of, :atom},
      default: [],
      doc: "Modules of which nothing is recorded while it runs, however they were instrumented."
    ],
    crashes: [
      type: :boolean,
      default: true,
      doc:
        "Whether a `ElixirScope.Events.CrashDump` is recorded for each process whose end the logger hears of, and for each child " <>
          "that a supervisor reports."
    ],
    capture: [
      doc: "What is recorded of each event, and where it waits for the store.",
      type:
        {:keyword,
         [
           buffer_size: [
             type: :pos_integer,
             default: 20_000,
             doc:
               "Events that the ring of one writer holds, at #{@event_bytes} bytes each. There is one writer to a scheduler."
           ],
           buffer_bytes: [
             type: {:at_least, 16_384},
             doc: "The same in bytes; goes before `:buffer_size`."
           ],
           total_bytes: [
             type: {:at_least, 65_536},
             default: 8 * 1_048_576,
             doc: "All rings together; no ring is larger."
           ],
           overflow_strategy: [
             type: {:one_of, [:drop_oldest, :drop_newest]},
             default: :drop_oldest,
             doc: "What a full ring gives up: the events that it holds, or the new ones."
           ],
           max_payload_bytes: [
             type: {:at_least, 16},
             default: 2_048,
             updatable: true,
             doc: "Encoded bytes of one captured term; what is beyond is cut, see `ElixirScope.Truncated`."
           ],
           max_state_bytes: [
             type: {:at_least, 16},
             default: 1_048_576,
             updatable: true,
             doc: "Encoded bytes of one captured state."
           ],
           max_depth: [
             type: :pos_integer,
             default: 64,
             updatable: true,
             doc: "How deep containers are followed into one another."
           ],
           max_length: [
             type: {:or, :infinity, :pos_integer},
             default: :infinity,
             updatable: true,
             doc: "Elements of one list or map."
           ],
           raw_terms: [
             type: {:one_of, [:auto, false]},
             default: :auto,
             doc:
               "Whether terms are read by their words where this VM passed the tests of it; `false` forces the NIF interface."
           ],
           redact: [
             type:
               {:custom, "a list of atoms and strings of at most 64 bytes, {:only, such a list}, or false",
                &__MODULE__.cast_redact/1},
             default: @redact,
             default_doc: "the usual names of secrets, see `ElixirScope.Config.default_redact/0`",
             updatable: true,
             doc:
               "Keys whose values are masked by `ElixirScope.Redacted`: of maps, structs and keyword lists, of pairs such as HTTP " <>
                 "headers, and the names of arguments and variables. Atoms and strings alike, strings in any case and with `-` for `_`. " <>
                 "A list takes the place of the default one. `{:only, keys}` masks all but the values of these keys, `false` nothing."
           ]
         ]}
    ],
    storage: [
      doc: "Bounds of the tape: past them the oldest events go.",
      type:
        {:keyword,
         [
           memory_limit: [
             type: {:at_least, 1_048_576},
             default: 24 * 1_048_576,
             doc: "Bytes of the store, indexes included."
           ],
           max_events: [
             type: {:or, :infinity, :pos_integer},
             default: :infinity,
             doc: "Events in the store."
           ],
           max_age_ms: [
             type: {:or, :infinity, :pos_integer},
             default: :infinity,
             doc: "Age of an event, in milliseconds."
           ]
         ]}
    ],
    guard: [
      doc:
        "Bounds of the host's load, past which recording is thinned step by step; see `ElixirScope.Guard`. `:infinity` for what is not to be watched.",
      type:
        {:keyword,
         [
           max_run_queue: [
             type: @auto_integer,
             default: :auto,
             updatable: true,
             doc: "Processes that wait for a scheduler; `:auto` is 8 to a core."
           ],
           max_memory_bytes: [
             type: @auto_integer,
             default: :auto,
             updatable: true,
             doc:
               "Resident memory of the node; `:auto` is 80 % of the machine's, or of what its control group may take."
           ],
           max_cpu_share: [
             type: {:or, :auto, {:or, :infinity, {:number, 0, 1_024}}},
             default: :auto,
             updatable: true,
             doc:
               "The share of one core that recording may take, by its own thread and in the calls that record. `:auto` is 0.05, " <>
                 "and counts only while more processes wait than there are schedulers: what nobody waits for is free to be used."
           ],
           max_loss: [
             type: {:or, :auto, {:or, :infinity, {:number, 0, 1}}},
             default: :auto,
             updatable: true,
             doc: "The share of events that full rings may lose from one look to the next; `:auto` is 0.1."
           ]
         ]}
    ],
    traces: [
      doc:
        "Limits of a trace or a watch that names none, see `ElixirScope.trace/2` and `ElixirScope.watch/2`.",
      type:
        {:keyword,
         [
           for: [type: :pos_integer, default: 15_000, doc: "Milliseconds."],
           max: [type: :pos_integer, default: 10_000, doc: "Events."],
           rate: [type: :pos_integer, default: 10_000, doc: "Events in one second."]
         ]}
    ]
  ]

  @moduledoc """
  What ElixirScope is told to do: in the application's environment, by `ElixirScope.start/1` or `{ElixirScope, opts}`, and by
  two environment variables. The same keys everywhere; an option of a call wins over the application's environment, and an
  environment variable wins over both. What is not in effect yet is checked all the same.

      # config/config.exs
      config :elixir_scope,
        sampling_rate: 0.1,
        storage: [memory_limit: 64 * 1024 * 1024]

      # and for one run
      ElixirScope.start(sampling_rate: 1.0)

  A configuration is a map of all options, as `ElixirScope.get_config/0` answers it:

      iex> {:ok, config} = ElixirScope.Config.load(capture: [max_depth: 8])
      iex> {config.strategy, config.capture.max_depth, config.capture.max_payload_bytes}
      {:balanced, 8, 2048}

  ## Options

  #{Options.docs(@schema)}

  ## Environment variables

    * `ELIXIR_SCOPE_ENABLED` - `true`, `1`, `false` or `0`: goes before `:enabled`
    * `ELIXIR_SCOPE_STRATEGY` - `minimal`, `balanced` or `full_trace`: goes before `:strategy`

  ## What can be changed while it runs

  `ElixirScope.update_config/2` takes the paths #{Enum.map_join([[:sampling_rate] | for(group <- [:capture, :guard], {key, d} <- @schema[group][:type] |> elem(1), d[:updatable], do: [group, key])], ", ", &"`#{inspect(&1)}`")}.
  """

  @typedoc "All options, groups as maps."
  @type t :: %{required(atom) => term}

  @typedoc "Names one option: its key, or the keys of its group and itself."
  @type path :: atom | [atom, ...]

  @doc false
  @spec schema() :: Options.schema()
  def schema, do: @schema

  @doc "The keys that are masked when `capture: [redact:]` is not given."
  @spec default_redact() :: [atom, ...]
  def default_redact, do: @redact

  @doc """
  The configuration that `ElixirScope.start(opts)` would use now.

      iex> ElixirScope.Config.load(storage: [memory_limit: :all])
      {:error,
       %ElixirScope.Error{
         reason: {:invalid_option, [:storage, :memory_limit], :all, "an integer of at least 1048576"}
       }}
  """
  @spec load(keyword) :: {:ok, t} | {:error, Error.t()}
  def load(opts \\ []) do
    with {:ok, layers} <- layers(opts) do
      config = Enum.reduce(layers, Options.defaults(@schema), &Options.merge(&2, &1))
      {:ok, Map.update!(config, :sampling_rate, &(&1 * 1.0))}
    end
  end

  @doc false
  # Whether somebody asked for a strategy. The default one must not narrow what a project chose when it was compiled.
  @spec strategy_given?(keyword) :: boolean
  def strategy_given?(opts) do
    with {:ok, layers} <- layers(opts), do: Enum.any?(layers, &is_map_key(&1, :strategy))
  end

  defp layers(opts) do
    with {:ok, application} <- from_application(),
         {:ok, given} <- Options.given(opts, @schema),
         {:ok, environment} <- from_environment() do
      {:ok, [application, given, environment]}
    end
  end

  @doc """
  A configuration with one option changed while it is in use, or `{:error, :not_updatable}` where that needs a new start.

      iex> {:ok, config} = ElixirScope.Config.load()
      iex> {:ok, config} = ElixirScope.Config.update(config, [:capture, :max_depth], 3)
      iex> config.capture.max_depth
      3
      iex> ElixirScope.Config.update(config, [:capture, :total_bytes], 1_000_000)
      {:error, :not_updatable}
  """
  @spec update(t, path, term) :: {:ok, t} | {:error, :not_updatable | Error.t()}
  def update(config, path, value) do
    keys = if is_atom(path), do: [path], else: path

    with {:ok, declaration} <- declaration(keys, path, value),
         true <- Keyword.get(declaration, :updatable, false) || {:error, :not_updatable},
         {:ok, value} <- Options.validate_value(value, declaration[:type], keys) do
      {:ok, put_in(config, keys, if(keys == [:sampling_rate], do: value * 1.0, else: value))}
    end
  end

  @doc false
  # What `ElixirScope.Native.start/1` is given; its shape is written down there.
  @spec to_native(t) :: map
  def to_native(%{capture: capture, storage: storage} = config) do
    wanted = Map.get(capture, :buffer_bytes, capture.buffer_size * @event_bytes)

    Map.merge(updates_to_native(config), %{
      buffer_bytes: wanted |> max(16_384) |> min(capture.total_bytes),
      total_bytes: capture.total_bytes,
      overflow_strategy: capture.overflow_strategy,
      raw_terms: capture.raw_terms,
      memory_limit: storage.memory_limit,
      max_events: storage.max_events,
      max_age_ns: age_ns(storage.max_age_ms),
      time_offset: System.time_offset(:nanosecond),
      node: node()
    })
  end

  @doc false
  # What `ElixirScope.Native.update_config/1` is given.
  @spec updates_to_native(t) :: map
  def updates_to_native(%{capture: capture, sampling_rate: sampling_rate}) do
    %{
      max_payload_bytes: capture.max_payload_bytes,
      max_state_bytes: capture.max_state_bytes,
      max_depth: capture.max_depth,
      max_length: capture.max_length,
      redact: redact_to_native(capture.redact),
      sampling_rate: sampling_rate
    }
  end

  @doc false
  @spec age_ns(:infinity | pos_integer) :: :infinity | pos_integer
  def age_ns(:infinity), do: :infinity
  def age_ns(ms) when is_integer(ms), do: ms * 1_000_000

  # -- Layers -----------------------------------------------------------------------------------------------------------

  defp from_application do
    case Options.given(Application.get_all_env(:elixir_scope), @schema) do
      {:ok, given} -> {:ok, given}
      {:error, error} -> {:error, put_in(error.details[:source], "config :elixir_scope")}
    end
  end

  defp from_environment do
    with {:ok, enabled} <- variable("ELIXIR_SCOPE_ENABLED", :enabled, &enabled/1, "true, 1, false or 0"),
         {:ok, strategy} <-
           variable("ELIXIR_SCOPE_STRATEGY", :strategy, &strategy/1, Enum.join(@strategies, ", ")) do
      {:ok, Map.merge(enabled, strategy)}
    end
  end

  defp variable(name, key, parse, expected) do
    with value when value not in [nil, ""] <- System.get_env(name),
         {:ok, parsed} <- parse.(value) do
      {:ok, %{key => parsed}}
    else
      :error -> Error.invalid(name, System.get_env(name), expected)
      _not_set -> {:ok, %{}}
    end
  end

  defp enabled(value) when value in ["true", "1"], do: {:ok, true}
  defp enabled(value) when value in ["false", "0"], do: {:ok, false}
  defp enabled(_value), do: :error

  defp strategy(value) do
    case Enum.find(@strategies, &(Atom.to_string(&1) == value)) do
      nil -> :error
      strategy -> {:ok, strategy}
    end
  end

  # -- Single options ---------------------------------------------------------------------------------------------------

  defp declaration(keys, path, value) do
    with true <- Options.proper_list?(keys),
         {:ok, declaration} <- Options.fetch(@schema, keys) do
      {:ok, declaration}
    else
      _unknown -> Error.invalid(:path, path, "the path of an option", %{value: value})
    end
  end

  @doc false
  @spec cast_redact(term) :: {:ok, term} | :error
  def cast_redact(false), do: {:ok, false}
  def cast_redact({:only, keys}), do: if(keys?(keys), do: {:ok, {:only, keys}}, else: :error)
  def cast_redact(keys), do: if(keys?(keys), do: {:ok, keys}, else: :error)

  defp keys?(keys) do
    Options.proper_list?(keys) and
      Enum.all?(keys, &key?/1)
  end

  defp key?(key) when key in [nil, true, false], do: false
  defp key?(key) when is_atom(key), do: short?(Atom.to_string(key))
  defp key?(key), do: is_binary(key) and String.valid?(key) and short?(key)

  # The native side looks at no longer names.
  defp short?(key), do: byte_size(key) in 1..64

  defp redact_to_native(false), do: false
  defp redact_to_native({:only, keys}), do: {:only, both(keys)}
  defp redact_to_native(keys), do: {:mask, both(keys)}

  # The keys come from the configuration, which bounds the atoms that are made of them.
  defp both(keys) do
    keys
    |> Enum.map(fn
      key when is_atom(key) -> {key, Atom.to_string(key)}
      key -> {String.to_atom(key), key}
    end)
    |> Enum.uniq()
  end
end
