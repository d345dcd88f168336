defmodule ElixirScope.Instrument.Live do
  @moduledoc false

  # Instrumentation of a running node. Modules are made in the calling process, all before the first one is loaded, so that a
  # list succeeds or fails as a whole; `ElixirScope.Instrument.Server` loads them.

  require Logger

  alias ElixirScope.{Config, Error, Muted, Native, Options}
  alias ElixirScope.Instrument.{Engine, Plan, Server, Sidecar, Source, Switches}

  @schema Plan.schema() ++
            [
              debug_info: [
                type: {:custom, "the path of a beam file", &__MODULE__.cast_path/1},
                doc:
                  "A beam of the module with debug information, where the one that is loaded was stripped of it."
              ],
              force: [
                type: :boolean,
                default: false,
                doc: "Whether modules of sticky directories, those of OTP, are instrumented too."
              ]
            ]

  @targets "a list of modules and {module, function, arity}"
  @update [
    strategy: [
      type: {:one_of, [:minimal, :balanced, :full_trace]},
      doc:
        "Records no more of what was compiled in than this strategy takes; `:full_trace` takes all of it. Functions that were " <>
          "chosen by name are not narrowed."
    ],
    sampling_rate: [type: {:number, 0, 1}, doc: "The share of outermost calls that is recorded."],
    add_modules: [type: {:list_of, :atom}, doc: "Modules to instrument, as by `instrument/2`."],
    remove_modules: [type: {:list_of, :atom}, doc: "Modules to make plain again, as by `uninstrument/1`."],
    enable: [
      type: {:custom, @targets, &__MODULE__.cast_targets/1},
      doc: "Modules and functions that are recorded again, whatever the strategy."
    ],
    disable: [
      type: {:custom, @targets, &__MODULE__.cast_targets/1},
      doc: "Modules and functions that are not recorded."
    ]
  ]

  @doc false
  @spec schema() :: Options.schema()
  def schema, do: @schema

  @doc false
  @spec update_schema() :: Options.schema()
  def update_schema, do: @update

  # -- With the recorder ----------------------------------------------------------------------------------------------------

  @doc "What the configuration says of modules and strategies, when the recorder has started."
  @spec start(map, boolean) :: :ok
  def start(config, strategy_given?) do
    Server.switch(fn switches ->
      switches
      |> Switches.narrow(if strategy_given?, do: config.strategy)
      |> Switches.turn(config.exclude_modules, false)
    end)

    for module <- config.modules -- config.exclude_modules, not is_map_key(Server.modules(), module) do
      with {:error, reason} <- instrument(module, []) do
        Logger.warning(
          "#{inspect(module)} is not instrumented: #{Exception.message(as_error(module, reason))}"
        )
      end
    end

    :ok
  end

  @doc "What records itself on this node, and what of it is switched off."
  @spec status() :: map
  def status do
    live = Server.modules()
    loaded = for %{module: module, status: :loaded} <- Sidecar.report(), do: module
    %{strategy: strategy, rules: rules} = Switches.get()

    %{
      modules: Enum.sort(Enum.uniq(Map.keys(live) ++ loaded)),
      pending: for({module, %{pending: true}} <- live, do: module),
      strategy: strategy,
      rules: rules
    }
  end

  defp as_error(_module, %Error{} = error), do: error
  defp as_error(module, reason), do: error(module, reason)

  # -- Instrument -----------------------------------------------------------------------------------------------------------

  @spec instrument(module | [module], keyword) ::
          :ok | {:error, :not_running | {:old_code_in_use, [pid]} | Error.t()}
  def instrument(modules, opts) do
    running(fn -> with {:ok, instrumented} <- prepare(modules, opts), do: load(instrumented) end)
  end

  # All that can go wrong before anything changes.
  defp prepare(modules, opts) do
    with {:ok, modules} <- modules(modules),
         {:ok, options} <- Options.given(opts, @schema),
         {:ok, plan} <- plan(options) do
      all(modules, &make(&1, plan, options))
    end
  end

  defp plan(options) do
    {given, _own} = Map.split(options, Keyword.keys(Plan.schema()))
    given |> Map.put_new(:strategy, strategy()) |> Map.to_list() |> Plan.new()
  end

  defp strategy do
    case ElixirScope.Recorder.InUse.config() do
      %{strategy: strategy} -> strategy
      nil -> Config.schema()[:strategy][:default]
    end
  end

  defp make(module, plan, options) do
    with :ok <- permitted(module, options[:force] == true),
         {:ok, source} <- source(module, 3),
         {:ok, debug_info} <- debug_info(options[:debug_info]),
         :ok <- functions_exist(module, plan),
         {:ok, made} <- engine(source, plan, debug_info, options) do
      {:ok,
       %{
         module: module,
         path: source.path,
         beam: made.beam,
         plain_beam: source.beam,
         md5: source.md5,
         functions: made.functions
       }}
    end
  end

  # Others may exchange the module's code between the look at what it should be and the one at what it is.
  defp source(module, attempts) do
    case Source.find(module, plain_digest(module)) do
      {:error, %Error{reason: {:other_code_loaded, _module}}} when attempts > 1 ->
        source(module, attempts - 1)

      found ->
        found
    end
  end

  defp permitted(module, force?) do
    cond do
      reason = Engine.refused(module) -> {:error, %Error{reason: {:refused, reason}}}
      not force? and :code.is_sticky(module) -> {:error, %Error{reason: {:sticky, module}}}
      true -> :ok
    end
  end

  # A release is stripped of debug information, but has what the compiler made of it. That is taken as it is, so not where the
  # caller wants something else.
  defp engine(source, plan, debug_info, options) do
    with {:error, reason} <- Engine.instrument(source.beam, plan, debug_info),
         {:error, _none} <- stored(reason, source, Map.drop(options, [:force])) do
      {:error, error(source.module, reason)}
    end
  end

  defp stored(:no_debug_info, source, options) when options == %{}, do: Sidecar.stored(source.path)
  defp stored(_reason, _source, _options), do: {:error, :missing}

  @doc "The error that a reason of `Engine` or `Loader` is."
  @spec error(module, term) :: Error.t()
  def error(_module, {:wrong_options, error}), do: error
  def error(module, reason), do: %Error{reason: reason, details: %{module: module}}

  defp functions_exist(module, plan) do
    with true <- Code.ensure_loaded?(module),
         missing when missing != nil <- Plan.unknown(plan, module.module_info(:functions)) do
      {:error, %Error{reason: {:unknown_function, module, missing}}}
    else
      _none -> :ok
    end
  end

  defp debug_info(nil), do: {:ok, nil}

  defp debug_info(path) do
    with {:error, reason} <- File.read(path),
         do: Error.invalid(:debug_info, path, "the path of a beam file (#{:file.format_error(reason)})")
  end

  defp load(instrumented) do
    case Server.load(instrumented) do
      :ok -> :ok
      {:error, {:old_code_in_use, pids}} -> {:error, {:old_code_in_use, pids}}
      {:error, %Error{} = error} -> {:error, error}
      {:error, reason} -> {:error, error(nil, reason)}
    end
  end

  # -- Back to plain code ---------------------------------------------------------------------------------------------------

  @spec uninstrument(module | [module]) :: :ok | {:ok, :pending} | {:error, :not_running | Error.t()}
  def uninstrument(modules) do
    running(fn -> with {:ok, sources} <- sources(modules), do: unload(sources) end)
  end

  defp sources(modules) do
    with {:ok, modules} <- modules(modules),
         {:ok, known} <- all(modules, &known/1) do
      all(for({module, plain} when plain != nil <- known, do: {module, plain}), &plain/1)
    end
  end

  defp unload(sources) do
    case Server.unload(sources) do
      :ok -> :ok
      :pending -> {:ok, :pending}
      {:error, error} -> {:error, error}
    end
  end

  # A module that is plain already needs nothing; one that nobody knows is a mistake.
  defp known(module) do
    plain = plain_digest(module)

    if plain || Code.ensure_loaded?(module),
      do: {:ok, {module, plain}},
      else: {:error, %Error{reason: {:unknown_module, module}}}
  end

  defp plain({module, digest}) do
    case Server.modules()[module] do
      # defined in a script or in iex: nobody else has its code
      %{kept: %{} = source} -> {:ok, source}
      _on_disk -> Source.find(module, digest)
    end
  end

  # The digest of the plain code where what is loaded is not plain.
  defp plain_digest(module) do
    case Server.modules()[module] do
      %{plain: plain} -> plain
      nil -> Sidecar.plain_digest(module)
    end
  end

  # -- Switches -------------------------------------------------------------------------------------------------------------

  @spec update(keyword) ::
          :ok | {:ok, :pending} | {:error, :not_running | {:old_code_in_use, [pid]} | Error.t()}
  def update(opts) do
    running(fn ->
      with {:ok, given} <- Options.given(opts, @update),
           :ok <- no_contradiction(given),
           {:ok, instrumented} <- step(given[:add_modules], {:ok, []}, &prepare(&1, [])),
           {:ok, _sources} <- step(given[:remove_modules], {:ok, []}, &sources/1),
           :ok <- step(instrumented, :ok, &load/1),
           :ok <- step(given[:sampling_rate], :ok, &sampling_rate/1),
           :ok <- Server.switch(&switches(&1, given)) do
        # made again: what is loaded may just have changed
        step(given[:remove_modules], :ok, &uninstrument/1)
      end
    end)
  end

  # Of what is asked for nothing is done where a part of it cannot be.
  defp step(nothing, default, _change) when nothing in [nil, []], do: default
  defp step(value, _default, change), do: change.(value)

  defp no_contradiction(given) do
    case Enum.filter(given[:add_modules] || [], &(&1 in (given[:remove_modules] || []))) do
      [] -> :ok
      both -> Error.invalid(:remove_modules, both, "modules that are not in :add_modules as well")
    end
  end

  defp sampling_rate(rate), do: ElixirScope.Recorder.Server.call({:update_config, :sampling_rate, rate})

  defp switches(switches, given) do
    switches
    |> then(&if given[:strategy], do: Switches.narrow(&1, given.strategy), else: &1)
    |> Switches.turn(given[:disable] || [], false)
    |> Switches.turn(given[:enable] || [], true)
  end

  # -- Arguments ------------------------------------------------------------------------------------------------------------

  defp modules(module) when is_atom(module), do: modules([module])

  defp modules(list) do
    if Options.proper_list?(list) and list != [] and Enum.all?(list, &module?/1),
      do: {:ok, Enum.uniq(list)},
      else: Error.invalid(:modules, list, "a module, or a list of modules")
  end

  defp module?(module), do: is_atom(module) and module not in [nil, true, false]

  @doc false
  @spec cast_path(term) :: {:ok, term} | :error
  def cast_path(path), do: if(is_binary(path) and String.valid?(path), do: {:ok, path}, else: :error)

  @doc false
  @spec cast_targets(term) :: {:ok, term} | :error
  def cast_targets(targets),
    do: if(Options.proper_list?(targets) and Enum.all?(targets, &target?/1), do: {:ok, targets}, else: :error)

  defp target?({module, function, arity}), do: module?(module) and is_atom(function) and arity in 0..255
  defp target?(module), do: module?(module)

  # The results of all, or the first error.
  defp all(list, fun) do
    Enum.reduce_while(list, {:ok, []}, fn item, {:ok, done} ->
      case fun.(item) do
        {:ok, result} -> {:cont, {:ok, [result | done]}}
        error -> {:halt, error}
      end
    end)
    |> then(&with {:ok, done} <- &1, do: {:ok, Enum.reverse(done)})
  end

  defp running(fun), do: Muted.run(fn -> if Native.running(), do: fun.(), else: {:error, :not_running} end)
end
