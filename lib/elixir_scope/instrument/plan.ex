defmodule ElixirScope.Instrument.Plan do
  @moduledoc false

  # What to record of a module: from the options of `ElixirScope.instrument/2`, of `use ElixirScope.Instrument` and of the
  # project's `elixir_scope:`, to a decision for each function.

  alias ElixirScope.{Error, Options}
  alias ElixirScope.Instrument.Callbacks

  # A sidecar made by another version of the transformation is made anew.
  @version 3

  @strategies [:minimal, :balanced, :full_trace]

  @schema [
    strategy: [
      type: {:one_of, @strategies},
      default: :balanced,
      doc:
        "Which functions, where `:functions` does not say: `:minimal` takes the callbacks of behaviours, `:balanced` these and " <>
          "the public functions, `:full_trace` every function."
    ],
    functions: [
      type: {:custom, ":all, :public, or a list of names and {name, arity}", &__MODULE__.cast_functions/1},
      doc: "The functions themselves: `:all`, `:public`, or a list of names and `{name, arity}`."
    ],
    args: [type: :boolean, default: true, doc: "Whether arguments are recorded."],
    returns: [type: :boolean, default: true, doc: "Whether results are recorded."],
    state: [
      type: {:custom, "a boolean, or {function, arity, index of an argument}", &__MODULE__.cast_state/1},
      default: true,
      doc:
        "Whether the states of callbacks are recorded. `{function, arity, index}` names the function of a plain `receive` loop, " <>
          "and which of its arguments, from 0, is its state."
    ],
    locals: [
      type: {:custom, "a boolean, or a list of line numbers", &__MODULE__.cast_locals/1},
      default: false,
      doc:
        "`true` records the variables that are bound where a function ends, a list of line numbers those before each of these lines."
    ],
    messages: [
      type: :boolean,
      default: true,
      doc: "Whether what the module sends, and the processes that it spawns, are recorded."
    ]
  ]

  @enforce_keys Keyword.keys(@schema)
  defstruct @enforce_keys

  @type function_name :: {atom, arity}
  @type role ::
          :public
          | :private
          | :chosen
          | :loop
          | {:callback, module, {:call | :cast | :send, non_neg_integer, non_neg_integer | nil} | nil,
             atom | nil}

  @type t :: %__MODULE__{
          strategy: :minimal | :balanced | :full_trace,
          functions: nil | :all | :public | [atom | function_name],
          args: boolean,
          returns: boolean,
          state: boolean | {atom, arity, non_neg_integer},
          locals: boolean | [pos_integer],
          messages: boolean
        }

  @doc false
  @spec schema() :: Options.schema()
  def schema, do: @schema

  @doc "The plan that the options give."
  @spec new(keyword) :: {:ok, t} | {:error, Error.t()}
  def new(opts \\ []) do
    with {:ok, given} <- Options.given(opts, @schema), do: {:ok, merge(defaults(), given)}
  end

  @doc "The plan, with options of one module over it."
  @spec override(t, keyword) :: {:ok, t} | {:error, Error.t()}
  def override(%__MODULE__{} = plan, opts) do
    with {:ok, given} <- Options.given(opts, @schema), do: {:ok, merge(plan, given)}
  end

  defp defaults, do: struct!(__MODULE__, Map.put_new(Options.defaults(@schema), :functions, nil))

  defp merge(plan, given), do: struct!(plan, given)

  @doc "Names the plan, and the transformation that carries it out."
  @spec digest(t) :: binary
  def digest(plan), do: :erlang.md5(:erlang.term_to_binary({@version, Map.from_struct(plan)}))

  @doc "As what a function is recorded, or nil: it stays as it is."
  @spec role(t, function_name, boolean, Callbacks.t() | nil) :: role | nil
  def role(plan, {name, arity} = function, exported?, callback) do
    cond do
      reflection?(name, arity) -> nil
      callback -> callback_role(plan, function, exported?, callback)
      true -> plain_role(plan, function, exported?)
    end
  end

  # A callback is one of every strategy.
  defp callback_role(%{functions: nil} = plan, _function, _exported?, callback), do: marked(plan, callback)

  defp callback_role(plan, function, exported?, callback),
    do: if(named?(plan.functions, function, exported?), do: marked(plan, callback))

  defp marked(%{state: false}, callback), do: {:callback, callback.behaviour, callback.receives, nil}
  defp marked(_plan, callback), do: {:callback, callback.behaviour, callback.receives, callback.shape}

  # The loop whose state is wanted has to be seen.
  defp plain_role(%{state: {name, arity, _index}}, {name, arity}, _exported?), do: :loop

  defp plain_role(%{functions: nil, strategy: strategy}, _function, exported?) do
    case {strategy, exported?} do
      {:minimal, _} -> nil
      {_, true} -> :public
      {:balanced, false} -> nil
      {:full_trace, false} -> :private
    end
  end

  defp plain_role(%{functions: functions}, function, exported?),
    do: if(named?(functions, function, exported?), do: :chosen)

  defp named?(:all, _function, _exported?), do: true
  defp named?(:public, _function, exported?), do: exported?
  defp named?(list, {name, _arity} = function, _exported?), do: name in list or function in list

  # What compilers generate to be asked about a module, at compile time as well: calls of it tell nothing.
  defp reflection?(:__info__, 1), do: true
  defp reflection?(:__struct__, arity) when arity < 2, do: true
  defp reflection?(:__impl__, 1), do: true
  defp reflection?(:__protocol__, 1), do: true
  defp reflection?(:behaviour_info, 1), do: true
  defp reflection?(:module_info, arity) when arity < 2, do: true
  defp reflection?(name, _arity), do: match?("MACRO-" <> _, Atom.to_string(name))

  @doc "The first function that the plan names, and that is none of these; a name that no function has is a mistake."
  @spec unknown(t, [function_name]) :: atom | function_name | nil
  def unknown(%{functions: functions, state: state}, known) do
    named = if is_list(functions), do: functions, else: []
    named = if match?({_, _, _}, state), do: [Tuple.delete_at(state, 2) | named], else: named
    Enum.find(named, &(&1 not in known and not (is_atom(&1) and List.keymember?(known, &1, 0))))
  end

  # -- Single options -----------------------------------------------------------------------------------------------------

  @doc false
  @spec cast_functions(term) :: {:ok, term} | :error
  def cast_functions(all) when all in [:all, :public], do: {:ok, all}

  def cast_functions(list),
    do: if(Options.proper_list?(list) and Enum.all?(list, &function?/1), do: {:ok, list}, else: :error)

  defp function?({name, arity}), do: is_atom(name) and arity in 0..255
  defp function?(name), do: is_atom(name) and name not in [nil, true, false]

  @doc false
  @spec cast_state(term) :: {:ok, term} | :error
  def cast_state(state) when is_boolean(state), do: {:ok, state}

  def cast_state({name, arity, index} = state)
      when is_atom(name) and is_integer(arity) and is_integer(index) and index in 0..254//1 and index < arity,
      do: {:ok, state}

  def cast_state(_other), do: :error

  @doc false
  @spec cast_locals(term) :: {:ok, term} | :error
  def cast_locals(locals) when is_boolean(locals), do: {:ok, locals}

  def cast_locals(lines),
    do:
      if(Options.proper_list?(lines) and Enum.all?(lines, &(is_integer(&1) and &1 > 0)),
        do: {:ok, lines},
        else: :error
      )
end
