defmodule ElixirScope.Instrument.Sidecar do
  @moduledoc false

  # From sidecars, the files beside the beams, to loaded code: when the application starts, and after a compilation in a VM
  # where it runs. What is loaded takes the place of exactly the code that it was made of, or is left alone, and the reason
  # kept. `ElixirScope.Instrument.Sidecar.Content` is one file, `ElixirScope.Instrument.Sidecar.Index` lists those of a folder.

  require Logger

  alias ElixirScope.{Config, Muted, Native, Patience}
  alias ElixirScope.Instrument.{Loader, Server}
  alias ElixirScope.Instrument.Sidecar.{Content, Index}

  # A persistent term of ours: the processes that load come and go. It changes with code, which is as rare and as dear.
  @state {__MODULE__, :folders}

  @typedoc """
  Why a module runs plain code:

    * `:missing`, `:damaged`, `:not_a_sidecar`, `{:version, n}`, `{:file, posix}`: of the sidecar
    * `:no_beam`: the module itself is not where its sidecar is
    * `:changed`: it was compiled since, without the compiler that writes sidecars
    * `:other_code`: loaded is what is not on disk, as with `mix test --cover`
    * `:replaced`: it was loaded, and other code was loaded since
    * `{:old_code_in_use, pids}`: processes still run the code before that
    * `:project_changed`: `mix.exs` was changed after the sidecars were written
    * `:compiler_removed`: `mix.exs` does not name the compiler any more
    * `:disabled`: `enabled: false`, or ELIXIR_SCOPE_ENABLED
    * `{:invalid_config, error}`: the configuration does not say whether it is enabled
    * `:library_not_loaded`: there is no native library to record with
  """
  @type reason :: atom | {atom, term}
  @type entry :: %{module: module, ebin: Path.t(), status: :loaded | {:plain, reason}}

  @doc "Loads what lies on the code path and fits; called when the application starts."
  @spec load_all() :: :ok
  def load_all do
    case for ebin <- code_path(), {:ok, index} <- [Index.read(ebin)], do: {ebin, index} do
      [] -> :ok
      found -> Muted.run(fn -> load_folders(found, %{}) end)
    end
  end

  @doc "Brings the loaded code of these folders to what their sidecars say now; where the application does not run, nothing."
  @spec refresh([Path.t()]) :: :ok
  def refresh(ebins) do
    if Process.whereis(Patience.root()) do
      found = for ebin <- ebins, do: {ebin, index_or_none(ebin)}
      Muted.run(fn -> Server.run(fn -> load_folders(found, folders()) end) end)
    end

    :ok
  end

  @doc "What `load_all/0` and compilations since then have loaded, and what not, and why."
  @spec report() :: [entry]
  def report do
    entries =
      for {ebin, modules} <- folders(), {name, entry} <- modules do
        %{module: String.to_atom(name), ebin: ebin, status: status(name, entry)}
      end

    Enum.sort_by(entries, & &1.module)
  end

  defp status(name, %{status: :loaded, sidecar: sidecar}) do
    if loaded_md5(name) == sidecar.instrumented, do: :loaded, else: {:plain, :replaced}
  end

  defp status(_name, %{status: plain}), do: plain

  @doc "The digest of a module's plain code, if the code of its sidecar is loaded."
  @spec plain_digest(module) :: binary | nil
  def plain_digest(module) do
    name = Atom.to_string(module)

    Enum.find_value(folders(), fn {_ebin, modules} ->
      case modules[name] do
        %{status: :loaded, sidecar: sidecar} -> if loaded_md5(name) == sidecar.instrumented, do: sidecar.md5
        _plain -> nil
      end
    end)
  end

  @doc "The instrumented code that lies beside a beam, whether it is loaded or not, if it was made of that beam."
  @spec stored(charlist) :: {:ok, %{beam: binary, functions: [{atom, arity}]}} | {:error, reason}
  def stored(path) do
    ebin = Path.dirname(List.to_string(path))

    with {:ok, sidecar} <- read(ebin, Path.basename(List.to_string(path), ".beam")),
         :ok <- fits_beam(sidecar, ebin) do
      functions = for {name, arity} <- sidecar.functions, do: {String.to_atom(name), arity}
      {:ok, %{beam: sidecar.beam, functions: functions}}
    end
  end

  @doc "Whether the sidecar of a module is whole, and made of the beam that is beside it."
  @spec check(Path.t(), String.t()) :: :ok | {:error, reason}
  def check(ebin, name) do
    with {:ok, sidecar} <- read(ebin, name), do: fits_beam(sidecar, ebin)
  end

  defp folders, do: :persistent_term.get(@state, %{})

  # -- Folders ----------------------------------------------------------------------------------------------------------

  defp code_path, do: for(folder <- :code.get_path(), do: List.to_string(folder)) |> Enum.uniq()

  defp index_or_none(ebin) do
    case Index.read(ebin) do
      {:ok, index} -> index
      {:error, _reason} -> %Index{owner: "", at: "", project: "", modules: []}
    end
  end

  defp load_folders(found, before) do
    permission = permission()

    now =
      for {ebin, index} <- found,
          into: %{},
          do: {ebin, load_folder(ebin, index, permission, before[ebin] || %{})}

    :persistent_term.put(@state, Map.merge(before, now))
    note(before, now)
    warn(now)
  end

  # So that `ElixirScope.instrument/2` and `uninstrument/1` know the plain code.
  defp note(before, now) do
    instrumented =
      for {ebin, modules} <- now,
          {name, %{status: :loaded, sidecar: s} = entry} <- modules,
          before[ebin][name] != entry do
        {String.to_atom(name), s.md5,
         for({function, arity} <- s.functions, do: {String.to_atom(function), arity})}
      end

    plain =
      for {ebin, modules} <- Map.take(before, Map.keys(now)),
          {name, %{status: :loaded, sidecar: sidecar}} <- modules,
          not match?(%{status: :loaded}, now[ebin][name]),
          loaded_md5(name) in [nil, sidecar.md5],
          do: String.to_atom(name)

    Server.note(instrumented, plain)
  end

  defp load_folder(ebin, index, permission, before) do
    case with(:ok <- permission, do: current(ebin, index)) do
      :ok ->
        {listed, gone} = Map.split(before, index.modules)
        Map.merge(restore_all(ebin, gone), load_modules(ebin, index.modules, listed))

      {:plain, reason} ->
        plain = for name <- index.modules, into: %{}, do: {name, plain(reason)}
        Map.merge(plain, restore_all(ebin, before))
    end
  end

  defp permission do
    case {Config.load(), Native.load_failure()} do
      {{:error, error}, _failure} -> {:plain, {:invalid_config, error}}
      {{:ok, %{enabled: false}}, _failure} -> {:plain, :disabled}
      {{:ok, _config}, nil} -> :ok
      {{:ok, _config}, _failure} -> {:plain, :library_not_loaded}
    end
  end

  defp current(ebin, index) do
    cond do
      Index.stale?(ebin, index) -> {:plain, :project_changed}
      compiler_removed?(index.owner) -> {:plain, :compiler_removed}
      true -> :ok
    end
  end

  # `compilers:` may be computed, and then change without its file. Only the project that Mix runs can be asked.
  defp compiler_removed?(owner) do
    if Process.whereis(Mix.Supervisor) && Mix.Project.get() do
      config = Mix.Project.config()
      "#{config[:app]}" == owner and :elixir_scope not in (config[:compilers] || [])
    else
      false
    end
  end

  # -- Modules ----------------------------------------------------------------------------------------------------------

  defp load_modules(ebin, names, before) do
    found = for name <- names, into: %{}, do: {name, find(ebin, name, before[name])}

    at_once =
      at_once(for {name, {:load, sidecar}} <- found, loaded_md5(name) == nil, do: entry(ebin, sidecar))

    Map.new(found, fn
      {name, {:load, sidecar}} -> {name, load(ebin, sidecar, String.to_atom(name) in at_once)}
      {name, done} -> {name, done}
    end)
  end

  defp find(ebin, name, before) do
    with {:ok, sidecar} <- read(ebin, name),
         :ok <- fits_beam(sidecar, ebin),
         :ok <- fits_loaded(loaded_md5(name), sidecar, before, ebin) do
      {:load, sidecar}
    else
      {:loaded, sidecar} -> loaded(sidecar)
      :keep -> before
      {:error, reason} -> plain(reason)
    end
  end

  defp load(_ebin, sidecar, true), do: loaded(sidecar)

  defp load(ebin, sidecar, false) do
    {module, path, beam} = entry(ebin, sidecar)

    case Loader.load(module, path, beam) do
      :ok -> loaded(sidecar)
      {:error, reason} -> plain(reason)
    end
  end

  # Modules that are new to the VM are loaded together, in a third of the time. What cannot be (`@on_load`, old code of a module
  # that was deleted) makes it fail as a whole, and each module is loaded by itself. Answers what was loaded.
  defp at_once([]), do: MapSet.new()

  defp at_once(entries) do
    with {:ok, prepared} <- :code.prepare_loading(entries), :ok <- :code.finish_loading(prepared) do
      MapSet.new(entries, fn {module, _path, _beam} -> module end)
    else
      {:error, _reasons} -> MapSet.new()
    end
  end

  defp entry(ebin, sidecar), do: {String.to_atom(sidecar.module), path(ebin, sidecar.module), sidecar.beam}

  defp loaded(sidecar), do: %{status: :loaded, sidecar: %{sidecar | beam: nil}}
  defp plain(reason), do: %{status: {:plain, reason}, sidecar: nil}

  defp read(ebin, name) do
    with {:error, {:file, :enoent}} <- Content.read(ebin, name), do: {:error, :missing}
  end

  defp fits_beam(sidecar, ebin) do
    with {:ok, beam} <- beam(ebin, sidecar.module) do
      if Content.made_of?(sidecar, beam), do: :ok, else: {:error, :changed}
    end
  end

  # What is not loaded will be, or was purged, by `recompile/0` of IEx for one. What is loaded has to be what the sidecar was
  # made of. Where another process compiled, the code of before runs on, as it does in a VM without us.
  defp fits_loaded(nil, _sidecar, _before, _ebin), do: :ok

  # The same code under another path was made by `use ElixirScope.Instrument`, while it was compiled.
  defp fits_loaded(md5, %{instrumented: md5, module: name} = sidecar, _before, ebin) do
    if :code.is_loaded(String.to_atom(name)) == {:file, path(ebin, name)}, do: {:loaded, sidecar}, else: :ok
  end

  # Plain code again: the compiler that made it loaded it. But what `ElixirScope.uninstrument/1` took out stays so.
  defp fits_loaded(md5, %{checksum: same} = sidecar, %{sidecar: %{checksum: same}}, _ebin) do
    if md5 == sidecar.md5 and
         match?(%{plain: ^md5, pending: false}, Server.noted()[String.to_atom(sidecar.module)]),
       do: :ok,
       else: :keep
  end

  defp fits_loaded(md5, %{md5: md5}, _before, _ebin), do: :ok

  defp fits_loaded(md5, sidecar, %{sidecar: %{instrumented: md5} = before}, _ebin) do
    if Content.same_plain?(sidecar, before), do: :ok, else: :keep
  end

  defp fits_loaded(_other, sidecar, _before, _ebin) do
    ours = Server.modules()[String.to_atom(sidecar.module)]
    if match?(%{plain: plain} when plain == sidecar.md5, ours), do: :ok, else: {:error, :other_code}
  end

  # Puts plain modules back where ours are still in use; answers those that cannot go yet, to be tried again.
  defp restore_all(ebin, modules) do
    for {name, %{status: :loaded} = entry} <- modules,
        loaded_md5(name) == entry.sidecar.instrumented,
        restore(ebin, name) != :ok,
        into: %{},
        do: {name, entry}
  end

  defp restore(ebin, name) do
    module = String.to_atom(name)

    case beam(ebin, name) do
      {:ok, beam} -> Loader.load(module, path(ebin, name), beam)
      # the module itself is gone: who calls it shall be told so
      {:error, :no_beam} -> if :code.soft_purge(module) and :code.delete(module), do: :ok
    end
  end

  defp beam(ebin, name) do
    with {:error, _posix} <- File.read(path(ebin, name)), do: {:error, :no_beam}
  end

  defp path(ebin, name), do: String.to_charlist(Path.join(ebin, name <> ".beam"))

  defp loaded_md5(name) do
    module = String.to_atom(name)
    if :erlang.module_loaded(module), do: :erlang.get_module_info(module, :md5)
  end

  # -- Words ------------------------------------------------------------------------------------------------------------

  # What the user asked for, or brought about knowingly, is no news.
  @expected [:disabled, :other_code, :compiler_removed]

  defp warn(folders) do
    plain =
      for {_ebin, modules} <- folders,
          {name, %{status: {:plain, reason}}} <- modules,
          reason not in @expected,
          do: {String.to_atom(name), reason}

    with [{module, reason} | rest] <- Enum.sort(plain) do
      others = if rest == [], do: "", else: " (the first of #{length(plain)} such modules)"

      Logger.warning(
        "ElixirScope: #{inspect(module)} runs without instrumentation#{others}: #{explain(reason)}. " <>
          "ElixirScope.Instrument.Sidecar.report() lists all"
      )
    end

    :ok
  end

  @doc "A reason in words."
  @spec explain(reason) :: String.t()
  def explain(:missing), do: "its sidecar is not there"
  def explain(:damaged), do: "its sidecar is damaged"
  def explain(:not_a_sidecar), do: "its sidecar is a file of another kind"
  def explain({:version, version}), do: "its sidecar has the unknown format #{version}"
  def explain({:file, posix}), do: "its sidecar cannot be read (#{:file.format_error(posix)})"
  def explain(:no_beam), do: "its beam is not beside its sidecar"
  def explain(:changed), do: "it was compiled again without the :elixir_scope compiler"
  def explain(:other_code), do: "the code that is loaded is not that on disk"

  def explain(:replaced), do: "other code was loaded in its place"

  def explain({:old_code_in_use, pids}),
    do: "its code before that is still in use by #{length(pids)} processes"

  def explain(:project_changed),
    do: "mix.exs was changed after it was instrumented, and mix compile not run since"

  def explain(:compiler_removed), do: "mix.exs does not name the :elixir_scope compiler"
  def explain(:disabled), do: "enabled: false"
  def explain({:invalid_config, error}), do: Exception.message(error)
  def explain(:library_not_loaded), do: "the native library could not be loaded"
  def explain(other), do: inspect(other, limit: 20)
end
