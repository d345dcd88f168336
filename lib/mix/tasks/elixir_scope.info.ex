defmodule Mix.Tasks.ElixirScope.Info do
  @shortdoc "Tells which modules are instrumented, and why others are not"

  @moduledoc """
  Tells which modules of a project are instrumented, and why others are not.

      $ mix elixir_scope.info
      $ mix elixir_scope.info Shop.Cart Shop.Order

  Without names it lists the modules that the compiler looked at: the project's own and those of the dependencies that
  `deps:` names. With names it lists the functions of these modules that are recorded. The project is compiled first.

  A sidecar that would not be loaded, because it is damaged for one, is told as well. What a running node has loaded is
  answered there, by `ElixirScope.Instrument.Sidecar.report/0`.
  """

  use Mix.Task

  alias ElixirScope.Instrument.Compiler
  alias ElixirScope.Instrument.Compiler.Manifest
  alias ElixirScope.Instrument.Sidecar

  @impl true
  def run(args) do
    Mix.Task.run("compile")
    projects = for {app, path} <- projects(), do: {app, Manifest.read(path)}

    case args do
      [] -> Enum.each(projects, &overview/1)
      names -> names |> Enum.map(&find!(&1, projects)) |> Enum.each(&module/1)
    end
  end

  # All of an umbrella's applications: each has a manifest of its own.
  defp projects do
    apps = Mix.Project.apps_paths() || %{Mix.Project.config()[:app] => "."}
    lib = Path.join(Mix.Project.build_path(), "lib")
    for {app, _path} <- Enum.sort(apps), do: {app, Path.join([lib, "#{app}", ".mix", "compile.elixir_scope"])}
  end

  # -- All modules ------------------------------------------------------------------------------------------------------

  defp overview({app, %{options: nil}}) do
    say("#{app}: not instrumented, as the compiler :elixir_scope is not among its compilers:, or has not run")
  end

  defp overview({app, %{options: %{enabled: false}}}), do: say("#{app}: not instrumented (enabled: false)")

  defp overview({_app, manifest}) do
    for {app, %{ebin: ebin, modules: modules}} <- Enum.sort(manifest.folders) do
      rows = for {module, entry} <- Enum.sort(modules), do: {inspect(module), state(ebin, module, entry)}
      count = Enum.count(rows, &match?({_name, {:instrumented, _text}}, &1))
      strategy = inspect(manifest.options.strategy)
      say("#{app}: #{count} of #{length(rows)} modules instrumented (strategy #{strategy})")
      rows |> columns() |> Enum.each(&say/1)
    end
  end

  defp columns(rows) do
    width = rows |> Enum.map(fn {name, _state} -> String.length(name) end) |> Enum.max(fn -> 0 end)
    for {name, {_kind, text}} <- rows, do: "  " <> String.pad_trailing(name, width + 2) <> text
  end

  defp state(ebin, module, entry) do
    with {:instrumented, functions, behaviours, _size} <- entry.outcome,
         :ok <- Sidecar.check(ebin, Atom.to_string(module)) do
      marks = if behaviours == [], do: "", else: " (#{Enum.map_join(behaviours, ", ", &inspect/1)})"
      {:instrumented, count(functions) <> marks}
    else
      {:plain, reason} -> {:plain, "- " <> Compiler.explain(reason)}
      {:error, reason} -> {:plain, "- " <> Sidecar.explain(reason)}
    end
  end

  defp count([]), do: "messages and processes only"
  defp count([_one]), do: "1 function"
  defp count(functions), do: "#{length(functions)} functions"

  # -- Single modules ---------------------------------------------------------------------------------------------------

  defp find!(name, projects) do
    found =
      for {_app, manifest} <- projects,
          {app, %{ebin: ebin, modules: modules}} <- manifest.folders,
          {module, entry} <- modules,
          name in [inspect(module), Atom.to_string(module)],
          do: {app, ebin, module, entry}

    with [] <- found, do: Mix.raise(unknown(name, projects))
    hd(found)
  end

  defp unknown(name, projects) do
    names = for {_app, m} <- projects, {app, _folder} <- m.folders, do: inspect(app)
    where = if names == [], do: "of an instrumented project", else: "of " <> Enum.join(Enum.uniq(names), ", ")

    "elixir_scope.info: no module #{name}: expected the name of a module #{where}" <>
      case close(name, projects) do
        nil -> ""
        other -> ", such as #{other}"
      end
  end

  defp close(name, projects) do
    all =
      for {_app, m} <- projects,
          {_dep, folder} <- m.folders,
          module <- Map.keys(folder.modules),
          do: inspect(module)

    best = Enum.max_by(all, &String.jaro_distance(&1, name), fn -> nil end)
    if best && String.jaro_distance(best, name) > 0.8, do: best
  end

  defp module({app, ebin, module, entry}) do
    {_kind, text} = state(ebin, module, entry)
    say("#{inspect(module)} of #{app}: #{text}")

    with {:instrumented, functions, _behaviours, _size} <- entry.outcome do
      for {name, arity} <- Enum.sort(functions), do: say("  #{Exception.format_mfa(module, name, arity)}")
    end
  end

  defp say(line), do: Mix.shell().info(line)
end
