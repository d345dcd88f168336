defmodule ElixirScope.Instrument.Compiler do
  @moduledoc false

  # Keeps the sidecars of a folder of beams in step with its beams and the options. It knows nothing of Mix: that is
  # `Mix.Tasks.Compile.ElixirScope`.
  #
  # A beam whose size, time and inode are as they were is not read, one whose content is as it was is not instrumented, unless
  # the plan is another one. So touching one file instruments one module.

  alias ElixirScope.Instrument.{Engine, Plan}
  alias ElixirScope.Instrument.Compiler.Manifest
  alias ElixirScope.Instrument.Sidecar.{Content, Files, Index}

  @typedoc "All modules, or those that were named; a module with `use ElixirScope.Instrument` has named itself."
  @type selection :: %{modules: :all | [module], exclude: [module]}
  @type target :: %{ebin: Path.t(), owner: atom, project: Path.t()}
  @type result :: %{
          folder: Manifest.folder(),
          failed: [{module, Manifest.reason()}],
          changed?: boolean
        }

  @doc """
  Brings a folder's sidecars up to date. `known` is the manifest's folder of the last run, `progress` is called with the number of
  modules done and of all, before the first and after each one. Files that cannot be written are an error.
  """
  @spec run(
          target,
          selection,
          {Plan.t(), Content.digest()},
          Manifest.folder() | nil,
          (integer, integer -> any)
        ) ::
          {:ok, result} | {:error, {Path.t(), File.posix()}}
  def run(target, selection, plan, known, progress) do
    known = if known && known.ebin == target.ebin, do: known.modules, else: %{}
    Files.keeping_time(target.ebin, fn -> update(target, selection, plan, known, progress) end)
  end

  defp update(%{ebin: ebin} = target, selection, {plan, digest}, known, progress) do
    with {:ok, files} <- list(ebin),
         {stay, stale} = ebin |> present(files, known) |> split(selection, digest, ebin),
         made = instrument(stale, ebin, plan, digest, progress),
         modules = Map.merge(stay, made),
         :ok <- settle(target, files, modules) do
      outcomes = for {module, %{outcome: outcome}} <- modules, do: {module, outcome}

      {:ok,
       %{
         folder: %{ebin: ebin, modules: modules},
         failed: for({module, {:plain, reason}} <- outcomes, failed?(reason), do: {module, reason}),
         changed?: outcomes(modules) != outcomes(known)
       }}
    end
  end

  defp outcomes(modules),
    do: Map.new(modules, fn {module, entry} -> {module, {entry.content, entry.outcome}} end)

  @doc "Names a plan together with all that carries it out: what is made by another one is made anew."
  @spec digest(Plan.t()) :: Content.digest()
  def digest(plan) do
    :erlang.md5([Plan.digest(plan), engine(), System.otp_release(), System.version()])
  end

  # The code of the transformation itself, so that a new version of the library leaves nothing of the old one behind. As
  # files: to load all of it would take longer than the rest of a run with nothing to do.
  defp engine do
    ebin = Path.dirname(List.to_string(:code.which(__MODULE__)))

    for file <- Enum.sort(File.ls!(ebin)),
        String.starts_with?(file, "Elixir.ElixirScope.Instrument."),
        do: :erlang.md5(File.read!(Path.join(ebin, file)))
  end

  # -- What is there ----------------------------------------------------------------------------------------------------

  defp list(ebin) do
    case File.ls(ebin) do
      {:ok, files} -> {:ok, files}
      {:error, :enoent} -> {:ok, []}
      {:error, posix} -> {:error, {ebin, posix}}
    end
  end

  defp present(ebin, files, known) do
    now = System.os_time(:second)

    for file <- files,
        Path.extname(file) == ".beam",
        path = Path.join(ebin, file),
        stat = stat(path),
        module = file |> Path.rootname() |> String.to_atom(),
        entry = seen(path, stat, now, known[module]),
        do: {module, entry}
  end

  # Mix gives the beams of one run the time at which it began, so that files of the same time may differ if they were made in
  # the second in which they were looked at.
  defp seen(_path, stat, _now, %{stat: stat, checked_at: at} = entry) when elem(stat, 1) < at, do: entry

  defp seen(path, stat, now, entry) do
    case File.read(path) do
      {:ok, beam} -> read(beam, :erlang.md5(beam), entry, %{stat: stat, checked_at: now})
      {:error, _gone} -> nil
    end
  end

  defp read(_beam, content, %{content: content} = entry, seen), do: Map.merge(entry, seen)

  defp read(beam, content, _entry, seen) do
    beam |> describe() |> Map.merge(seen) |> Map.merge(%{content: content, plan: nil, outcome: nil})
  end

  defp describe(beam) do
    with {:ok, {_module, exports: exports, attributes: attributes}} <-
           :beam_lib.chunks(beam, [:exports, :attributes]) do
      protocol? = {:__protocol__, 1} in exports and {:impl_for, 1} in exports

      %{
        kind: if(protocol?, do: :protocol, else: :module),
        named?: Keyword.has_key?(attributes, :elixir_scope),
        source: source(beam)
      }
    else
      {:error, :beam_lib, _reason} -> %{kind: :not_a_beam, named?: false, source: nil}
    end
  end

  defp source(beam) do
    with {:ok, {_module, compile_info: info}} <- :beam_lib.chunks(beam, [:compile_info]),
         [_ | _] = source <- info[:source] do
      List.to_string(source)
    else
      _none -> nil
    end
  end

  defp stat(path) do
    case File.stat(path, time: :posix) do
      {:ok, stat} -> {stat.size, stat.mtime, stat.inode}
      {:error, _gone} -> nil
    end
  end

  # -- What is to be done -----------------------------------------------------------------------------------------------

  defp split(present, selection, digest, ebin) do
    {stay, stale} =
      Enum.reduce(present, {[], []}, fn {module, entry}, {stay, stale} ->
        reason = plain_by_choice(module, entry, selection)

        cond do
          reason -> {[{module, %{entry | plan: digest, outcome: {:plain, reason}}} | stay], stale}
          current?(entry, digest, ebin, module) -> {[{module, entry} | stay], stale}
          true -> {stay, [{module, entry} | stale]}
        end
      end)

    {Map.new(stay), stale}
  end

  defp plain_by_choice(module, entry, selection) do
    cond do
      entry.kind == :not_a_beam -> :not_a_beam
      module in selection.exclude -> :excluded
      selection.modules != :all and module not in selection.modules and not entry.named? -> :not_listed
      entry.kind == :protocol -> :protocol
      true -> nil
    end
  end

  defp current?(%{plan: digest, outcome: outcome}, digest, ebin, module) do
    case outcome do
      {:plain, {:file, _posix}} -> false
      {:plain, reason} -> reason not in [:excluded, :not_listed]
      {:instrumented, _, _, size} -> match?({^size, _, _}, stat(Content.path(ebin, module)))
    end
  end

  defp current?(_entry, _digest, _ebin, _module), do: false

  # -- Instrumenting ----------------------------------------------------------------------------------------------------

  defp instrument([], _ebin, _plan, _digest, _progress), do: %{}

  defp instrument(stale, ebin, plan, digest, progress) do
    total = length(stale)
    progress.(0, total)

    stale
    |> Task.async_stream(fn {module, entry} -> {module, one(entry, module, ebin, plan, digest)} end,
      ordered: false,
      timeout: :infinity
    )
    |> Stream.with_index(1)
    |> Map.new(fn {{:ok, made}, done} ->
      progress.(done, total)
      made
    end)
  end

  defp one(entry, module, ebin, plan, digest) do
    outcome =
      with {:ok, plain} <- beam(ebin, module),
           {:ok, made} <- Engine.instrument(plain, plan),
           true <- made.beam != plain,
           {:ok, sidecar} <- Content.new(plain, made, digest),
           {:ok, size} <- Content.write(ebin, sidecar) do
        {:instrumented, made.functions, made.behaviours, size}
      else
        false -> {:plain, :nothing_to_record}
        {:error, reason} -> {:plain, reason}
      end

    %{entry | plan: digest, outcome: outcome}
  rescue
    # one module that cannot be instrumented is no reason to leave the project without the others
    error -> %{entry | plan: digest, outcome: {:plain, {:failed, Exception.message(error)}}}
  end

  defp beam(ebin, module) do
    with {:error, posix} <- File.read(Path.join(ebin, "#{module}.beam")), do: {:error, {:file, posix}}
  end

  # The index says first what is no longer there.
  defp settle(target, files, modules) do
    names = for {module, %{outcome: {:instrumented, _, _, _}}} <- modules, do: Atom.to_string(module)

    index = %Index{
      owner: "#{target.owner}",
      at: target.ebin,
      project: target.project,
      modules: Enum.sort(names)
    }

    case Index.write(target.ebin, index) do
      :ok ->
        kept = MapSet.new(names, &Path.basename(Content.path(target.ebin, &1)))
        Index.remove_sidecars(target.ebin, files, kept)

      {:error, {:file, posix}} ->
        {:error, {Index.path(target.ebin), posix}}
    end
  end

  # -- Reasons ----------------------------------------------------------------------------------------------------------

  @by_choice [:excluded, :not_listed, :protocol, :nothing_to_record]

  @doc "Whether a module is plain though the options want it instrumented."
  @spec failed?(Manifest.reason()) :: boolean
  def failed?(reason), do: reason not in @by_choice

  @doc "Why a module is plain, in words."
  @spec explain(Manifest.reason()) :: String.t()
  def explain(:excluded), do: "named in exclude_modules:"
  def explain(:not_listed), do: "not named in modules:"
  def explain(:protocol), do: "a protocol; its implementations are instrumented"
  def explain(:nothing_to_record), do: "nothing to record in it"
  def explain(:not_a_beam), do: "its file is not a beam"

  def explain(:no_debug_info),
    do:
      "no debug information: expected a module compiled with debug_info: true and not stripped (strip_beams)"

  def explain({:refused, text}), do: text
  def explain({:compile_failed, text}), do: "the instrumented code does not compile: #{text}"
  def explain({:failed, text}), do: "the instrumentation failed: #{text}"
  def explain({:wrong_options, error}), do: "use ElixirScope.Instrument: #{Exception.message(error)}"

  def explain({:file, posix}),
    do: "its beam cannot be read, or its sidecar not be written: #{:file.format_error(posix)}"
end
