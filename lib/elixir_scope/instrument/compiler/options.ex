defmodule ElixirScope.Instrument.Compiler.Options do
  @moduledoc false

  # The project options `elixir_scope: [...]` of `mix.exs`.

  alias ElixirScope.{Error, Options}
  alias ElixirScope.Instrument.Plan

  @schema [
    enabled: [
      type: :boolean,
      default: true,
      doc: "Whether anything is instrumented. `false` removes what was."
    ],
    strategy: Keyword.fetch!(Plan.schema(), :strategy),
    modules: [
      type: {:list_of, :atom},
      default: [],
      doc:
        "The modules to instrument, `[]` for all of the project's own and of `:deps`. A module with `use ElixirScope.Instrument` " <>
          "need not be named."
    ],
    exclude_modules: [
      type: {:list_of, :atom},
      default: [],
      doc: "Modules that stay as they are, whatever else says."
    ],
    deps: [
      type: {:list_of, :atom},
      default: [],
      doc: "Dependencies whose modules count as the project's own, path dependencies above all."
    ]
  ]

  @doc false
  @spec schema() :: Options.schema()
  def schema, do: @schema

  @doc "The options of a project, checked, and the plan that they give."
  @spec load(term, dependencies :: [atom]) :: {:ok, map, Plan.t()} | {:error, Error.t()}
  def load(given, dependencies) do
    with {:ok, options} <- Options.validate(given, @schema),
         :ok <- known(options.deps, dependencies),
         {:ok, plan} <- Plan.new(strategy: options.strategy) do
      {:ok, options, plan}
    else
      {:error, error} -> {:error, put_in(error.details[:source], "elixir_scope: of mix.exs")}
    end
  end

  defp known(named, dependencies) do
    case named -- dependencies -- [:elixir_scope] do
      [] ->
        :ok

      [wrong | _rest] ->
        names = dependencies |> List.delete(:elixir_scope) |> Enum.sort() |> Enum.map_join(", ", &inspect/1)

        expected =
          if names == "", do: "no names, as the project has no dependencies", else: "some of #{names}"

        Error.invalid(:deps, wrong, expected)
    end
  end
end
