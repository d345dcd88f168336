defmodule ElixirScope.Options do
  @moduledoc false

  # Options, declared once: `type`, `default`, `doc`. Both validation and documentation come from the declaration.
  #
  #     schema = [limit: [type: {:or, :infinity, :pos_integer}, default: 1_000, doc: "How many."]]
  #
  #     Options.validate([limit: 5], schema)   #=> {:ok, %{limit: 5}}
  #     Options.docs(schema)                   #=> "  * `:limit` (…) - How many. …"
  #
  # Nothing is guessed: no value is converted but by a type that says so, unknown keys are errors, and so is an option
  # given twice. An option without a default that is not given is absent from the result.

  alias ElixirScope.Error

  @type type ::
          :any
          | :atom
          | :boolean
          | :integer
          | :pos_integer
          | :non_neg_integer
          | {:at_least, integer}
          | {:integer, min :: integer, max :: integer}
          | {:number, min :: number, max :: number}
          | {:one_of, [term]}
          | {:list_of, type}
          | {:or, atom, type}
          | {:keyword, schema}
          | {:custom, String.t(), (term -> {:ok, term} | :error | {:error, term})}
  @type schema :: [{atom, keyword}]

  @doc "The options as a map, defaults filled in; or the first that is wrong, in the order given."
  @spec validate(term, schema) :: {:ok, map} | {:error, term}
  def validate(options, schema) do
    with {:ok, given} <- given(options, schema) do
      {:ok, merge(defaults(schema), given)}
    end
  end

  @doc "As `validate/2`, but only with the options that were given."
  @spec given(term, schema, [atom]) :: {:ok, map} | {:error, term}
  def given(options, schema, path \\ []), do: check(options, schema, path, [], %{})

  @doc "Checks the value of one option; an error names `path`."
  @spec validate_value(term, type, [atom]) :: {:ok, term} | {:error, term}
  def validate_value(value, {:keyword, schema}, path), do: given(value, schema, path)

  def validate_value(value, type, path) do
    case cast(value, type) do
      {:ok, value} -> {:ok, value}
      :error -> Error.invalid(name(path), value, expected(type))
      {:error, reason} -> {:error, reason}
    end
  end

  @doc "Lays one map of options over another; groups are merged option by option."
  @spec merge(map, map) :: map
  def merge(below, above) do
    Map.merge(below, above, fn
      _key, %{} = one, %{} = other -> merge(one, other)
      _key, _one, other -> other
    end)
  end

  @doc "The defaults of a schema, nested ones too."
  @spec defaults(schema) :: map
  def defaults(schema) do
    for {key, declaration} <- schema, {:ok, default} <- [default(declaration)], into: %{} do
      {key, default}
    end
  end

  @doc "The declaration at a path of keys."
  @spec fetch(schema, [atom]) :: {:ok, keyword} | :error
  def fetch(schema, [key]), do: Keyword.fetch(schema, key)

  def fetch(schema, [key | rest]) do
    case schema[key][:type] do
      {:keyword, nested} -> fetch(nested, rest)
      _other -> :error
    end
  end

  def fetch(_schema, _path), do: :error

  @doc "A list in Markdown of what a schema declares."
  @spec docs(schema) :: String.t()
  def docs(schema, indent \\ "") do
    Enum.map_join(schema, "\n", fn {key, declaration} ->
      type = declaration[:type]
      head = "#{indent}  * `#{inspect(key)}` - #{declaration[:doc]}"

      case type do
        {:keyword, nested} -> head <> "\n\n" <> docs(nested, indent <> "    ") <> "\n"
        _plain -> head <> " Expects #{expected(type)}.#{default_text(declaration)}"
      end
    end)
  end

  # -- Keys -------------------------------------------------------------------------------------------------------------

  defp check([], _schema, _path, _seen, given), do: {:ok, given}

  defp check([{key, value} | rest], schema, path, seen, given) when is_atom(key) do
    with {:ok, declaration} <- declared(key, value, schema, path),
         :ok <- once(key, value, path, seen),
         {:ok, value} <- validate_value(value, declaration[:type], path ++ [key]) do
      check(rest, schema, path, [key | seen], Map.put(given, key, value))
    end
  end

  defp check(wrong, _schema, path, _seen, _given) do
    Error.invalid(if(path == [], do: :opts, else: name(path)), wrong, "a keyword list of options")
  end

  defp declared(key, value, schema, path) do
    with :error <- Keyword.fetch(schema, key) do
      known = schema |> Keyword.keys() |> Enum.map_join(", ", &inspect/1)
      Error.invalid(name(path ++ [key]), value, "one of the options #{known}", %{unknown: true})
    end
  end

  defp once(key, value, path, seen) do
    if key in seen, do: Error.invalid(name(path ++ [key]), value, "the option once"), else: :ok
  end

  defp name([key]), do: key
  defp name(path), do: path

  # -- Values -----------------------------------------------------------------------------------------------------------

  defp cast(value, :any), do: {:ok, value}
  defp cast(value, :atom), do: keep(value, is_atom(value) and not is_boolean(value) and value != nil)
  defp cast(value, :boolean), do: keep(value, is_boolean(value))
  defp cast(value, :integer), do: keep(value, is_integer(value))
  defp cast(value, :pos_integer), do: keep(value, is_integer(value) and value > 0)
  defp cast(value, :non_neg_integer), do: keep(value, is_integer(value) and value >= 0)
  defp cast(value, {:at_least, min}), do: keep(value, is_integer(value) and value >= min)

  defp cast(value, {:integer, min, max}),
    do: keep(value, is_integer(value) and value >= min and value <= max)

  defp cast(value, {:number, min, max}),
    do: keep(value, is_number(value) and value >= min and value <= max)

  defp cast(value, {:one_of, values}), do: keep(value, Enum.any?(values, &(&1 === value)))
  defp cast(word, {:or, word, _type}), do: {:ok, word}
  defp cast(value, {:or, _word, type}), do: cast(value, type)
  defp cast(value, {:custom, _expected, fun}), do: fun.(value)

  defp cast(value, {:list_of, type}) do
    keep(value, proper_list?(value) and Enum.all?(value, &match?({:ok, _same}, cast(&1, type))))
  end

  defp keep(value, true), do: {:ok, value}
  defp keep(_value, false), do: :error

  @doc "Whether a term is a list that ends in `[]`."
  @spec proper_list?(term) :: boolean
  def proper_list?([_ | tail]), do: proper_list?(tail)
  def proper_list?(end_of_list), do: end_of_list == []

  # -- Words ------------------------------------------------------------------------------------------------------------

  @doc "What a type expects, in words."
  @spec expected(type) :: String.t()
  def expected(:any), do: "any term"
  def expected(:atom), do: "an atom"
  def expected(:boolean), do: "true or false"
  def expected(:integer), do: "an integer"
  def expected(:pos_integer), do: "a positive integer"
  def expected(:non_neg_integer), do: "a non-negative integer"
  def expected({:at_least, min}), do: "an integer of at least #{min}"
  def expected({:integer, min, max}), do: "an integer from #{min} to #{max}"
  def expected({:number, min, max}), do: "a number from #{min} to #{max}"
  def expected({:one_of, [value]}), do: inspect(value)
  def expected({:one_of, values}), do: "one of " <> Enum.map_join(values, ", ", &inspect/1)
  def expected({:list_of, :atom}), do: "a list of atoms"
  def expected({:list_of, type}), do: "a list, each element #{expected(type)}"
  def expected({:or, word, type}), do: expected(type) <> " or " <> inspect(word)
  def expected({:keyword, _schema}), do: "a keyword list of options"
  def expected({:custom, expected, _fun}), do: expected

  defp default(declaration) do
    case {declaration[:type], Keyword.fetch(declaration, :default)} do
      {{:keyword, schema}, :error} -> {:ok, defaults(schema)}
      {_type, default} -> default
    end
  end

  defp default_text(declaration) do
    case {declaration[:default_doc], Keyword.fetch(declaration, :default)} do
      {nil, {:ok, default}} -> " Default: `#{inspect(default)}`."
      {nil, :error} -> ""
      {text, _default} -> " Default: #{text}."
    end
  end
end
