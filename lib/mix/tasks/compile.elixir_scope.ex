defmodule Mix.Tasks.Compile.ElixirScope do
  @shortdoc "Instruments the modules of a project"

  @moduledoc """
  Instruments the modules of a project, so that they record themselves where ElixirScope runs.

  It stands first among the compilers, and takes effect after the others have run:

      def project do
        [
          app: :shop,
          compilers: [:elixir_scope] ++ Mix.compilers(),
          elixir_scope: [strategy: :balanced, exclude_modules: [Shop.Hot]],
          deps: deps()
        ]
      end

  The beams of the project stay as they are. Beside each one that is instrumented, in the same folder, comes a file
  `<Module>.scope` with the instrumented code; the application `:elixir_scope` loads it when it starts, if it was made of the
  beam that is there. Without the application, or with `enabled: false` in its configuration, plain code runs. `mix release`
  takes the files along, and needs no debug information in the release.

  Only modules that were compiled anew, or whose options changed, are instrumented again. `mix elixir_scope.info` tells what is
  instrumented, and why the rest is not.

  ## Options of the project

  #{ElixirScope.Options.docs(ElixirScope.Instrument.Compiler.Options.schema())}

  In an umbrella project each application has its own `compilers:` and `elixir_scope:`.
  """

  use Mix.Task.Compiler

  alias ElixirScope.Instrument.Compiler
  alias ElixirScope.Instrument.Compiler.{Manifest, Options}
  alias ElixirScope.Instrument.Sidecar
  alias ElixirScope.Instrument.Sidecar.Index

  # Without @impl: Elixir 1.14 does not know `diagnostics/0` as a callback yet, and newer ones want all of them marked, or none.
  @recursive true
  @manifest "compile.elixir_scope"
  @many 50

  def run(args) do
    # `recompile/0` of IEx enables the compilers of an umbrella's root again, which has not this one
    Mix.Task.reenable("compile.elixir_scope")
    config = Mix.Project.config()

    case Options.load(Keyword.get(config, :elixir_scope, []), Map.keys(Mix.Project.deps_paths())) do
      {:ok, options, plan} ->
        finish_after(config, fn -> finish(options, plan, args) end)

      {:error, error} ->
        found = [{:error, nil, Exception.message(error)}]
        show(found)
        {:error, Enum.map(found, &diagnostic/1)}
    end
  end

  def manifests, do: [manifest_path()]

  def diagnostics, do: Enum.map(Manifest.read(manifest_path()).diagnostics, &diagnostic/1)

  # The sidecars of dependencies too, and in every environment, as `mix clean` removes the project's own folders.
  def clean do
    Index.wipe(Mix.Project.compile_path())
    environments = Path.join(Path.dirname(Mix.Project.build_path()), "*")
    for {_app, ebin, index} <- owned(environments), index.project == project_file(), do: Index.wipe(ebin)
    _ = File.rm(manifest_path())
    :ok
  end

  # -- When -------------------------------------------------------------------------------------------------------------

  # After the compiler that lists the modules in the application's file, or the last one there is.
  defp finish_after(config, finish) do
    compilers = config[:compilers] || Mix.compilers()
    last = if :app in compilers, do: :app, else: List.last(compilers)
    later = compilers |> Enum.drop_while(&(&1 != :elixir_scope)) |> Enum.drop(1)

    if last in later, do: register(last, config[:app], finish), else: finish.()
  end

  # Where a compiler between ours and `last` fails, what was registered stays, and is due again at the next compilation in
  # this VM: only the newest counts.
  defp register(last, app, finish) do
    key = {__MODULE__, app}
    newest = make_ref()
    Process.put(key, newest)

    Mix.Task.Compiler.after_compiler(last, fn {status, diagnostics} ->
      if status != :error and Process.get(key) == newest do
        Process.delete(key)
        {own_status, own} = finish.()
        {join(status, own_status), diagnostics ++ own}
      else
        {status, diagnostics}
      end
    end)

    {:noop, []}
  end

  defp join(_status, :error), do: :error
  defp join(:noop, :noop), do: :noop
  defp join(_status, _own), do: :ok

  # -- What -------------------------------------------------------------------------------------------------------------

  defp finish(options, plan, args) do
    known = if "--force" in args, do: Manifest.empty(), else: Manifest.read(manifest_path())
    {targets, foreign} = targets(options)
    left = wipe_left(targets)

    case instrument(targets, options, {plan, Compiler.digest(plan)}, known) do
      {:ok, results} ->
        folders = Map.new(results, fn {app, result} -> {app, result.folder} end)
        found = foreign ++ failures(results) ++ missing(options, results)
        manifest = %{Manifest.empty() | options: options, folders: folders, diagnostics: found}
        if found != known.diagnostics or "--all-warnings" in args, do: show(found)
        if manifest != known, do: Manifest.write(manifest_path(), manifest)
        Sidecar.refresh(left ++ for({_app, %{folder: folder}} <- results, do: folder.ebin))
        changed? = left != [] or Enum.any?(results, fn {_app, result} -> result.changed? end)
        {if(changed?, do: :ok, else: :noop), Enum.map(found, &diagnostic/1)}

      {:error, {path, posix}} ->
        found = [{:error, nil, "cannot write #{path}: #{:file.format_error(posix)}"}]
        show(found)
        {:error, Enum.map(found, &diagnostic/1)}
    end
  end

  defp instrument(targets, options, plan, known) do
    selection = %{
      modules: if(options.modules == [], do: :all, else: options.modules),
      exclude: options.exclude_modules
    }

    Enum.reduce_while(targets, {:ok, []}, fn {app, target}, {:ok, results} ->
      case Compiler.run(target, selection, plan, known.folders[app], progress(app)) do
        {:ok, result} -> {:cont, {:ok, [{app, result} | results]}}
        {:error, reason} -> {:halt, {:error, reason}}
      end
    end)
  end

  # A folder has one owner, or two compilers would undo each other's work at each run.
  defp targets(%{enabled: false}), do: {[], []}

  defp targets(options) do
    {deps, foreign} = options.deps |> Enum.uniq() |> Enum.split_with(&(owner(&1) in [nil, own_app()]))

    targets =
      for app <- [own_app() | deps] do
        {app, %{ebin: ebin(app), owner: own_app(), project: project_file()}}
      end

    warnings =
      for app <- foreign do
        {:warning, nil,
         "the modules of #{inspect(app)}, named in deps:, are left to the project #{inspect(owner(app))}, " <>
           "which instruments them already"}
      end

    {targets, warnings}
  end

  defp owner(app) do
    with {:ok, %{owner: owner} = index} <- Index.read(ebin(app)),
         false <- Index.stale?(ebin(app), index),
         true <- File.exists?(Path.join([Mix.Project.build_path(), "lib", owner, ".mix", @manifest])) do
      String.to_atom(owner)
    else
      _none -> nil
    end
  end

  # Sidecars of dependencies that are not named any more, and all of them when nothing is to be instrumented. The project's own
  # folder has no other owner, whatever its index says.
  defp wipe_left(targets) do
    wanted = for {_app, %{ebin: ebin}} <- targets, do: ebin
    own = for ebin <- [ebin(own_app())], Index.read(ebin) != {:error, :none}, do: ebin
    deps = for {_app, ebin, index} <- owned(Mix.Project.build_path()), index.owner == "#{own_app()}", do: ebin
    left = Enum.uniq(own ++ deps) -- wanted
    Enum.each(left, &Index.wipe/1)
    left
  end

  defp owned(build_path) do
    for path <- Path.wildcard(Path.join(build_path, "lib/*/ebin/#{Path.basename(Index.path(""))}")),
        ebin = Path.dirname(path),
        {:ok, index} <- [Index.read(ebin)] do
      {ebin |> Path.dirname() |> Path.basename(), ebin, index}
    end
  end

  defp ebin(app) do
    if app == own_app(),
      do: Mix.Project.compile_path(),
      else: Path.join([Mix.Project.build_path(), "lib", Atom.to_string(app), "ebin"])
  end

  defp own_app, do: Mix.Project.config()[:app]
  defp project_file, do: Mix.Project.project_file()
  defp manifest_path, do: Path.join(Mix.Project.manifest_path(), @manifest)

  # -- Telling ----------------------------------------------------------------------------------------------------------

  defp failures(results) do
    for {_app, %{failed: failed, folder: folder}} <- results, {module, reason} <- Enum.sort(failed) do
      {:warning, folder.modules[module].source,
       "#{inspect(module)} is not instrumented: #{Compiler.explain(reason)}"}
    end
  end

  defp missing(options, results) do
    all =
      for {_app, %{folder: folder}} <- results,
          module <- Map.keys(folder.modules),
          into: MapSet.new(),
          do: module

    for key <- [:modules, :exclude_modules],
        results != [],
        module <- Enum.uniq(options[key]),
        module not in all do
      {:warning, nil,
       "#{inspect(module)}, named in #{key}:, is not there: expected a module of " <>
         Enum.map_join(results, ", ", fn {app, _result} -> inspect(app) end)}
    end ++ protocols(options, results)
  end

  defp protocols(options, results) do
    for {_app, %{folder: folder}} <- results,
        module <- options.modules,
        match?(%{outcome: {:plain, :protocol}}, folder.modules[module]) do
      {:warning, folder.modules[module].source,
       "#{inspect(module)} is not instrumented: #{Compiler.explain(:protocol)}"}
    end
  end

  defp diagnostic({severity, file, text}) do
    %Mix.Task.Compiler.Diagnostic{
      compiler_name: "ElixirScope",
      file: file || project_file(),
      message: "elixir_scope: " <> text,
      position: 0,
      severity: severity
    }
  end

  defp show(found) do
    for {severity, _file, text} <- found do
      colour = if severity == :error, do: :red, else: :yellow
      Mix.shell().error([colour, "#{severity}: ", :reset, "elixir_scope: ", text])
    end
  end

  defp progress(app) do
    terminal? = Mix.shell() == Mix.Shell.IO and match?({:ok, _columns}, :io.columns())

    fn
      0, total ->
        Mix.shell().info("Instrumenting #{total} module#{if total > 1, do: "s"} of #{app}")

      done, total when total > @many and terminal? ->
        IO.write("\r#{done}/#{total}#{if done == total, do: "\n"}")

      _done, _total ->
        :ok
    end
  end
end
