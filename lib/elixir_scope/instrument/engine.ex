defmodule ElixirScope.Instrument.Engine do
  @moduledoc false

  # A module that records itself, from its beam and a plan. Everything that instruments goes through here: the compiler of
  # Mix projects, `use ElixirScope.Instrument`, and `ElixirScope.instrument/2`.

  alias ElixirScope.{Error, Site}
  alias ElixirScope.Instrument.{Beam, Callbacks, Plan, Transform}

  @type instrumented :: %{
          module: module,
          md5: binary,
          beam: binary,
          functions: [{atom, arity}],
          behaviours: [module]
        }

  @type reason ::
          Beam.reason() | {:refused, String.t()} | {:compile_failed, String.t()} | {:wrong_options, Error.t()}

  # They load code, or run before any code can be loaded.
  @never [:code, :code_server, :error_handler, :init, :erl_prim_loader, :erts_internal, :erlang]

  @most_clauses 2_500

  @doc """
  The instrumented module; `md5` is the digest of the plain one. Where the plan chooses no function, and the module sends
  nothing and starts no process, `beam` is the plain module.

  `debug_info` is a beam of the same module that has the debug information, for a module that was stripped of it.
  """
  @spec instrument(binary, Plan.t(), binary | nil) :: {:ok, instrumented} | {:error, reason}
  def instrument(binary, plan, debug_info \\ nil) do
    with {:ok, beam} <- Beam.read(binary, debug_info),
         :ok <- permitted(beam),
         {:ok, plan} <- override(plan, own_options(beam.attributes)),
         {forms, functions} = forms(beam, plan),
         {:ok, instrumented} <- build(beam, forms, binary) do
      {:ok,
       %{
         module: beam.module,
         md5: beam.md5,
         beam: instrumented,
         functions: functions,
         behaviours: Callbacks.behaviours(beam.attributes)
       }}
    end
  end

  @doc "Why a module can never be instrumented, or nil."
  @spec refused(module) :: String.t() | nil
  def refused(module) do
    name = Atom.to_string(module)

    cond do
      module in @never or :erlang.is_builtin(module, :module_info, 0) or module in :erlang.pre_loaded() ->
        "#{inspect(module)} is part of the emulator's code loading or preloaded"

      name == "Elixir.ElixirScope" or String.starts_with?(name, "Elixir.ElixirScope.") ->
        "#{inspect(module)} is a module of ElixirScope itself"

      true ->
        nil
    end
  end

  defp permitted(beam) do
    cond do
      reason = refused(beam.module) ->
        {:error, {:refused, reason}}

      loads_nif?(beam.forms) ->
        {:error,
         {:refused, "#{inspect(beam.module)} loads native functions, which take the place of its own"}}

      true ->
        :ok
    end
  end

  defp loads_nif?(forms), do: Enum.any?(forms, &(elem(&1, 0) == :function and calls_load_nif?(&1)))

  defp calls_load_nif?({:call, _, {:remote, _, {:atom, _, :erlang}, {:atom, _, :load_nif}}, _args}), do: true
  defp calls_load_nif?(form) when is_tuple(form), do: form |> Tuple.to_list() |> calls_load_nif?()
  defp calls_load_nif?([head | tail]), do: calls_load_nif?(head) or calls_load_nif?(tail)
  defp calls_load_nif?(_other), do: false

  @doc "What `use ElixirScope.Instrument, opts` left in a module's attributes; or something of its own, which has the same name."
  @spec own_options(keyword) :: term
  def own_options(attributes) do
    case List.keyfind(attributes, :elixir_scope, 0) do
      nil -> []
      {:elixir_scope, [options]} when is_list(options) -> options
      {:elixir_scope, options} -> options
    end
  end

  defp override(plan, options) do
    with {:error, error} <- Plan.override(plan, options), do: {:error, {:wrong_options, error}}
  end

  defp build(%{forms: forms}, forms, binary), do: {:ok, binary}
  defp build(beam, forms, _binary), do: Beam.build(beam, forms)

  # -- Forms ----------------------------------------------------------------------------------------------------------------

  defp forms(beam, plan) do
    scope = scope(beam, plan)

    {forms, {_scope, functions}} =
      Enum.map_reduce(beam.forms, {scope, []}, fn form, {scope, functions} ->
        {form, scope, function} = form(form, scope)
        {form, {scope, function ++ functions}}
      end)

    {forms, Enum.reverse(functions)}
  end

  defp scope(%{forms: forms, module: module} = beam, plan) do
    %{
      module: module,
      plan: plan,
      file: "",
      function: nil,
      mark: nil,
      functions: for({:function, _, name, arity, _} <- forms, into: MapSet.new(), do: {name, arity}),
      imports: imports(forms),
      exported: exported(forms),
      left_alone: Enum.reduce([on_load(forms), vast(forms)], inlined(forms), &MapSet.union/2),
      behaviours: Callbacks.behaviours(beam.attributes),
      state_functions?: state_functions?(forms)
    }
  end

  defp imports(forms) do
    for {:attribute, _, :import, {module, functions}} <- forms, function <- functions, into: %{} do
      {function, module}
    end
  end

  defp exported(forms) do
    if Enum.any?(compile_options(forms), &(&1 == :export_all)),
      do: :all,
      else: for({:attribute, _, :export, list} <- forms, function <- list, into: MapSet.new(), do: function)
  end

  # A function that is to become part of its callers is no call, and would be too large for it if it recorded itself.
  defp inlined(forms) do
    for {:inline, functions} <- compile_options(forms),
        function <- List.wrap(functions),
        into: MapSet.new() do
      function
    end
  end

  # Tables that a program wrote, a clause for each entry: with a beginning and an end in each the compiler would take minutes
  # (idna_mapping's 8,714 clauses: 177 s instead of 8 s).
  defp vast(forms) do
    for {:function, _, name, arity, clauses} <- forms,
        length(clauses) > @most_clauses,
        into: MapSet.new(),
        do: {name, arity}
  end

  defp on_load(forms) do
    for {:attribute, _, :on_load, function} <- forms, into: MapSet.new() do
      case function do
        {name, arity} -> {name, arity}
        name -> {name, 0}
      end
    end
  end

  defp compile_options(forms) do
    for {:attribute, _, :compile, options} <- forms, option <- List.wrap(options), do: option
  end

  # A state machine whose states are functions says so in `callback_mode/0`.
  defp state_functions?(forms) do
    Enum.any?(forms, fn
      {:function, _, :callback_mode, 0, clauses} -> mentions?(clauses, :state_functions)
      _other -> false
    end)
  end

  defp mentions?({:atom, _, name}, name), do: true
  defp mentions?(form, name) when is_tuple(form), do: form |> Tuple.to_list() |> mentions?(name)
  defp mentions?([head | tail], name), do: mentions?(head, name) or mentions?(tail, name)
  defp mentions?(_other, _name), do: false

  defp form({:attribute, _, :file, {file, _line}} = form, scope) do
    {form, %{scope | file: file |> List.to_string() |> Path.relative_to_cwd()}, []}
  end

  defp form({:function, _, name, arity, _} = form, scope) do
    function = {name, arity}
    exported? = scope.exported == :all or MapSet.member?(scope.exported, function)
    callback = Callbacks.find(scope.behaviours, name, arity, exported? and scope.state_functions?)

    role =
      unless MapSet.member?(scope.left_alone, function),
        do: Plan.role(scope.plan, function, exported?, callback)

    scope = %{scope | function: function, mark: mark(scope, function)}

    cond do
      role -> {Transform.function(form, role, callback, scope), scope, [function]}
      scope.plan.messages and not on_load?(scope, function) -> {Transform.effects(form, scope), scope, []}
      true -> {form, scope, []}
    end
  end

  defp form(form, scope), do: {form, scope, []}

  defp on_load?(scope, function), do: MapSet.member?(scope.left_alone, function)

  # The site of what a function does at a line.
  defp mark(%{module: module, file: file}, {name, arity}) do
    fn line -> Site.new({module, name, arity, file, line, 0, [], :mark}) end
  end
end
