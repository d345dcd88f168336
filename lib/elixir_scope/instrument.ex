defmodule ElixirScope.Instrument do
  alias ElixirScope.{Error, Instrument, Muted, Patience}
  alias ElixirScope.Instrument.{Engine, Live, Plan, Server}

  @moduledoc """
  Modules that record themselves: every call with its arguments, what it returned or raised, how long it took, the states of
  callbacks, and what is sent to other processes.

  There are three ways in, and one engine behind them:

    * the compiler of a Mix project, for all of its modules: `compilers: [:elixir_scope] ++ Mix.compilers()`, see
      `Mix.Tasks.Compile.ElixirScope`;
    * `use ElixirScope.Instrument` in a module, for options of its own;
    * `ElixirScope.instrument/2` on a running node, for any module that has debug information, also those of OTP.

  The code is made of the compiled module, not of its source, so Erlang's modules are as good as Elixir's. What the program
  does stays the same: results, exceptions with their stack traces, tail calls in constant memory, which clause is chosen,
  docs, specs and line numbers. What cannot stay the same is listed in the guide "Instrumentation".

      defmodule Checkout do
        use ElixirScope.Instrument, functions: [:total, pay: 2], returns: false

        def total(cart), do: Enum.sum(cart)
      end

  In a Mix project with the compiler, the options are those of the module, laid over the project's. Elsewhere, in a script or in
  iex, they take effect as soon as the module is compiled, if ElixirScope runs.

  ## Options

  #{ElixirScope.Options.docs(Plan.schema())}
  """

  @doc false
  defmacro __using__(opts) do
    quote bind_quoted: [opts: opts] do
      Module.register_attribute(__MODULE__, :elixir_scope, persist: true)
      @elixir_scope Instrument.__options__(opts)
      # scripts and tests are compiled without, and there would be nothing to instrument
      @compile {:debug_info, true}
      @after_compile Instrument
    end
  end

  @doc false
  @spec __options__(term) :: keyword
  def __options__(opts) do
    case Plan.new(opts) do
      {:ok, _plan} -> opts
      {:error, error} -> raise ArgumentError, "use ElixirScope.Instrument: " <> Exception.message(error)
    end
  end

  @doc false
  # Where our application runs, the module records itself from now on; where a Mix project is only being compiled, its
  # compiler takes care.
  @spec __after_compile__(Macro.Env.t(), binary) :: :ok
  def __after_compile__(env, beam) do
    functions_exist!(env.module, beam)
    if Process.whereis(Patience.root()), do: Muted.run(fn -> load(env, beam) end)
    :ok
  end

  defp functions_exist!(module, beam) do
    {:ok, {_module, chunks}} = :beam_lib.chunks(beam, [:attributes, :exports, :locals])
    {:ok, plan} = Plan.new(Engine.own_options(chunks[:attributes]))

    if missing = Plan.unknown(plan, chunks[:exports] ++ chunks[:locals]) do
      error = %Error{reason: {:unknown_function, module, missing}}
      raise ArgumentError, "use ElixirScope.Instrument: " <> Exception.message(error)
    end
  end

  defp load(env, beam) do
    {:ok, plan} = Plan.new()

    with {:ok, made} <- Engine.instrument(beam, plan),
         path = String.to_charlist(env.file),
         :ok <-
           Server.load([
             %{
               module: env.module,
               path: path,
               beam: made.beam,
               plain_beam: beam,
               md5: made.md5,
               functions: made.functions
             }
           ]) do
      :ok
    else
      {:error, reason} ->
        IO.warn(
          "#{inspect(env.module)} is not instrumented: #{Exception.message(Live.error(env.module, reason))}",
          []
        )
    end
  end
end
