defmodule ElixirScope.Tracing.Functions do
  @moduledoc false

  # What a function target stands for: the functions of loaded code, each with the calls of it that are meant. Functions that record
  # themselves are on the tape already, and are left out.

  alias ElixirScope.{Error, Options}
  alias ElixirScope.Instrument.Server
  alias ElixirScope.Tracing.Match

  @typedoc "Which calls: all, or those that one of these heads of a match spec takes."
  @type heads :: :any | [{head :: term, guards :: list}]
  @type wanted :: {mfa, heads}
  @type found :: %{functions: [wanted], left_out: [mfa]}

  # Made by the compiler, and called by tools.
  @made [module_info: 0, module_info: 1, __info__: 1]

  @doc "The functions that a target names; wildcards are expanded."
  @spec find([term]) :: {:ok, found} | {:error, Error.t()}
  def find(targets) do
    with {:ok, found} <- all(targets, &one/1) do
      found = found |> Enum.concat() |> Enum.uniq()
      own = found |> Enum.map(fn {{module, _name, _arity}, _heads} -> module end) |> Enum.uniq() |> own()
      {own, functions} = Enum.split_with(found, fn {function, _heads} -> MapSet.member?(own, function) end)

      case {functions, own} do
        {[], [{function, _heads} | _]} -> {:error, %Error{reason: {:records_itself, function}}}
        _some -> {:ok, %{functions: functions, left_out: for({function, _heads} <- own, do: function)}}
      end
    end
  end

  @doc "Whether a term names functions."
  @spec names?(term) :: boolean
  def names?({:module, module}) when is_atom(module), do: true
  def names?({:match, {_module, _function, _arity}, _spec}), do: true
  def names?({:via, module, _name}) when is_atom(module), do: false
  def names?({module, function, _arity}) when is_atom(module) and is_atom(function), do: true
  def names?({module, function, _arity, _spec}) when is_atom(module) and is_atom(function), do: true
  def names?(_other), do: false

  @doc "Whether it names them by a wildcard."
  @spec wildcard?(term) :: boolean
  def wildcard?({:module, _module}), do: true
  def wildcard?({_module, :_, _arity}), do: true
  def wildcard?({_module, _function, :_}), do: true
  def wildcard?(_exact), do: false

  defp one({:module, module}), do: one({module, :_, :_})
  defp one({:match, {module, function, arity}, spec}), do: one({module, function, arity, spec})

  defp one({module, function, arity}) when is_atom(module) and is_atom(function) do
    with :ok <- arity(arity, {module, function, arity}),
         {:ok, functions} <- loaded(module) do
      chosen =
        for {name, count} <- functions,
            function == :_ or function == name,
            arity == :_ or arity == count,
            function != :_ or {name, count} not in @made,
            do: {{module, name, count}, :any}

      if chosen == [],
        do: {:error, %Error{reason: {:unknown_function, module, asked(function, arity)}}},
        else: {:ok, chosen}
    end
  end

  defp one({module, function, arity, spec}) do
    with {:ok, [{mfa, :any}]} <- exact({module, function, arity}),
         {:ok, heads} <- Match.heads(spec, mfa, :functions) do
      {:ok, [{mfa, heads}]}
    end
  end

  defp one(other), do: Error.invalid(:functions, other, expected())

  @doc "One function, by its name and arity."
  @spec exact(term) :: {:ok, [wanted]} | {:error, Error.t()}
  def exact({_module, function, arity} = mfa) when function != :_ and is_integer(arity), do: one(mfa)
  def exact(other), do: Error.invalid(:functions, other, expected())

  @doc "What names functions, in words."
  @spec expected() :: String.t()
  def expected do
    "{module, function, arity}, {module, function, arity, match_spec}, {:module, module}, or what ElixirScope.match/1 makes"
  end

  defp arity(:_, _target), do: :ok
  defp arity(arity, _target) when arity in 0..255, do: :ok
  defp arity(_arity, target), do: Error.invalid(:functions, target, expected())

  defp asked(function, :_), do: function
  defp asked(function, arity), do: {function, arity}

  defp loaded(module) do
    case Code.ensure_loaded(module) do
      {:module, ^module} -> {:ok, :erlang.get_module_info(module, :functions)}
      {:error, _why} -> {:error, %Error{reason: {:unknown_module, module}}}
    end
  rescue
    ArgumentError -> {:error, %Error{reason: {:unknown_module, module}}}
  end

  @doc "The functions of modules that record their calls themselves."
  @spec own([module]) :: MapSet.t(mfa)
  def own(modules) do
    for {module, %{functions: functions}} <- Map.take(Server.modules(), modules),
        {name, arity} <- functions,
        into: MapSet.new(),
        do: {module, name, arity}
  end

  # -- Where it stands --------------------------------------------------------------------------------------------------

  @doc "The source file of a module, and the lines of its functions, as far as its debug information tells."
  @spec places(module) :: {file :: String.t(), %{{atom, arity} => non_neg_integer}}
  def places(module) do
    {file(module), lines(:code.which(module))}
  end

  defp file(module) do
    case :erlang.get_module_info(module, :compile)[:source] do
      [_ | _] = source -> source |> List.to_string() |> Path.relative_to_cwd()
      _unknown -> ""
    end
  rescue
    ArgumentError -> ""
  end

  defp lines([_ | _] = beam) do
    case :beam_lib.chunks(beam, [:debug_info]) do
      {:ok, {_module, [debug_info: {:debug_info_v1, :elixir_erl, {_version, %{definitions: all}, _specs}}]}} ->
        for {function, _kind, meta, _clauses} <- all, into: %{}, do: {function, meta[:line] || 0}

      {:ok, {_module, [debug_info: {:debug_info_v1, :erl_abstract_code, {forms, _opts}}]}}
      when is_list(forms) ->
        for {:function, place, name, arity, _clauses} <- forms, into: %{} do
          {{name, arity}, :erl_anno.line(place)}
        end

      _none ->
        %{}
    end
  end

  defp lines(_in_memory_or_preloaded), do: %{}

  defp all(list, fun) do
    if Options.proper_list?(list),
      do: collect(list, fun, []),
      else: Error.invalid(:functions, list, "a list, each element " <> expected())
  end

  defp collect([], _fun, done), do: {:ok, Enum.reverse(done)}

  defp collect([item | rest], fun, done) do
    with {:ok, result} <- fun.(item), do: collect(rest, fun, [result | done])
  end
end
