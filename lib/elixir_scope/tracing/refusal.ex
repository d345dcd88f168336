defmodule ElixirScope.Tracing.Refusal do
  @moduledoc false

  # What can hurt the node, or tells nothing, is not traced unless forced; with the reason as data, and in words.

  alias ElixirScope.Error
  alias ElixirScope.Tracing.{Functions, Processes}

  # Modules that everything calls all the time.
  @hot [
    :erlang,
    :lists,
    :maps,
    :ets,
    :gen,
    :gen_server,
    :gen_statem,
    :gen_event,
    :proc_lib,
    :sys,
    :io,
    :io_lib,
    :binary,
    :unicode,
    :string,
    :queue,
    :dict,
    :gb_trees,
    :gb_sets,
    :sets,
    :ordsets,
    :orddict,
    :array,
    :proplists,
    :prim_file,
    :file,
    :code,
    :code_server,
    :error_handler,
    :application,
    :supervisor,
    :timer,
    :rand,
    :math,
    :persistent_term,
    :atomics,
    :counters,
    :logger,
    :logger_server,
    :logger_config,
    :logger_backend,
    :logger_h_common,
    :logger_olp,
    :logger_std_h,
    :logger_formatter,
    :logger_filters,
    :prim_inet,
    :inet,
    :inet_tcp,
    :gen_tcp,
    :re,
    :init,
    :erl_prim_loader,
    :erts_internal,
    :erl_eval,
    :io_lib_pretty,
    :io_lib_format,
    :group,
    :user_drv,
    Kernel,
    Enum,
    Map,
    MapSet,
    Keyword,
    List,
    String,
    Stream,
    Access,
    Process,
    GenServer,
    Agent,
    Task,
    Supervisor,
    DynamicSupervisor,
    Registry,
    Enumerable,
    Enumerable.List,
    Enumerable.Map,
    Collectable,
    String.Chars,
    Inspect,
    Inspect.Algebra,
    Integer,
    Float,
    Tuple,
    Regex,
    URI,
    IO,
    Code,
    Module,
    Macro,
    Logger,
    Logger.Config,
    System,
    Application,
    :elixir_tokenizer,
    :elixir_expand
  ]

  # Functions that come back when their process ends: the VM would keep a frame for each round. In these modules all that
  # begin a round are so, whatever each version of OTP calls them (`loop`, `loop_hibernate`, `wake_hib`, `loop_wakeup`), and these.
  @loops %{
    gen_server: [:decode_msg, :handle_msg, :handle_common_reply, :init_it, :enter_loop],
    gen_statem: [:init_it, :enter_loop, :enter],
    gen_event: [:fetch_msg, :init_it, :handle_msg],
    gen: [:init_it, :init_it2],
    proc_lib: [:init_p, :init_p_do_apply, :hibernate],
    sys: [:suspend_loop, :suspend_loop_hib, :handle_system_msg, :handle_system_message],
    supervisor: [],
    application_master: [:init, :init_loop, :main_loop],
    group: [:server_loop, :io_request, :server],
    user_drv: [:server_loop],
    logger_olp: [],
    code_server: [],
    erl_prim_loader: [],
    init: [],
    erl_eval: [:receive_clauses],
    io: [:wait_io_mon_reply],
    ssl_gen_statem: [],
    erlang: [:hibernate],
    shell: [:server_loop, :eval_loop]
  }
  @rounds ["loop", "wake"]

  @type kind ::
          :hot_module | :loop_function | :ours | :group_leader_or_logger | :sensitive | :native

  @doc "The error of what is not traced."
  @spec refused(term, kind, String.t()) :: {:error, Error.t()}
  def refused(what, kind, why) do
    {:error,
     %Error{
       reason: {:not_traceable, what, kind},
       details: %{why: why <> "; force: true traces it all the same"}
     }}
  end

  # -- Functions --------------------------------------------------------------------------------------------------------

  @doc "Whether these targets may be traced, of which these functions are meant; `ends?` says whether their ends are traced."
  @spec functions([term], [mfa], ends? :: boolean) :: :ok | {:error, Error.t()}
  def functions(targets, functions, ends?) do
    first([
      fn -> Enum.find_value(targets, :ok, &wildcard/1) end,
      fn -> Enum.find_value(functions, :ok, &ours/1) end,
      fn -> if ends?, do: Enum.find_value(functions, :ok, &loop/1), else: :ok end
    ])
  end

  defp wildcard(target) do
    module = if match?({:module, _module}, target), do: elem(target, 1), else: elem(target, 0)

    if Functions.wildcard?(target) and hot?(module) do
      refused(target, :hot_module, "everything on the node calls #{inspect(module)} all the time")
    end
  end

  @doc "Whether everything calls a module."
  @spec hot?(module) :: boolean
  def hot?(module), do: module in @hot

  defp ours({module, _function, _arity} = function) do
    if ours?(module), do: refused(function, :ours, "it is one of ElixirScope's own functions")
  end

  defp ours?(module) do
    name = Atom.to_string(module)
    name == "Elixir.ElixirScope" or String.starts_with?(name, "Elixir.ElixirScope.")
  end

  defp loop({module, name, _arity} = function) do
    if loop?(module, name) do
      refused(
        function,
        :loop_function,
        "it is a loop that comes back when its process ends, and the VM keeps a frame for every round of which the return " <>
          "is traced; events: [:call] traces its calls"
      )
    end
  end

  defp loop?(module, name) do
    case @loops do
      %{^module => others} ->
        name in others or String.starts_with?(Atom.to_string(name), @rounds)

      _none ->
        false
    end
  end

  # -- Processes --------------------------------------------------------------------------------------------------------

  @doc "Whether processes that were named may be traced."
  @spec processes([pid], caller :: pid) :: :ok | {:error, Error.t()}
  def processes(pids, caller) do
    ours = Processes.ours()
    writers = Processes.writers(caller)
    Enum.find_value(pids, :ok, &process(&1, ours, writers))
  end

  defp process(pid, ours, writers) do
    cond do
      MapSet.member?(ours, pid) ->
        refused(pid, :ours, "it is one of ElixirScope's own processes")

      MapSet.member?(writers, pid) ->
        refused(pid, :group_leader_or_logger, "it is the group leader, or writes the log")

      Processes.sensitive?(pid) ->
        refused(pid, :sensitive, "it has asked not to be looked into, so that the VM tells nothing of it")

      true ->
        nil
    end
  end

  @doc "Those of a set that are left out of it, since nobody named them."
  @spec left_out(caller :: pid) :: MapSet.t(pid)
  def left_out(caller), do: MapSet.union(Processes.ours(), Processes.writers(caller))

  defp first(checks) do
    Enum.find_value(checks, :ok, fn check -> with(:ok <- check.(), do: nil) end)
  end
end
