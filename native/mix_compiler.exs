defmodule Mix.Tasks.Compile.ElixirScopeNative do
  # Not a task that users call: Mix runs it as the first compiler of :elixir_scope. It lives outside lib/ because it has
  # to exist before lib/ is compiled; mix.exs requires this file.
  @moduledoc false

  # Cargo decides what is out of date, so it is always asked; asking for nothing costs about 0.1 s. Every Mix environment
  # gets the same release build: a debug build of a recorder would measure itself.

  use Mix.Task.Compiler

  @recursive true

  @root Path.expand("..", __DIR__)
  @package "elixir_scope_nif"
  # `.so` on macOS too: it is what the emulator appends to the path given to :erlang.load_nif/2
  @library "#{@package}.so"
  @variable "ELIXIR_SCOPE_LIBRARY"

  @impl Mix.Task.Compiler
  def run(_args) do
    # first, so that priv/ is linked into _build and the library can be loaded while lib/ compiles
    Mix.Project.build_structure()

    library =
      case System.get_env(@variable, "") do
        "" -> build()
        path -> prebuilt(path)
      end

    if install(library), do: {:ok, []}, else: {:noop, []}
  end

  @impl Mix.Task.Compiler
  def clean do
    # target/ stays: it is cargo's, and costs minutes to fill again
    for folder <- [source_folder(), build_folder()], do: File.rm(Path.join(folder, @library))
    :ok
  end

  ## Where the library comes from

  defp prebuilt(path) do
    cond do
      Path.type(path) != :absolute ->
        fail("#{@variable} must be the absolute path of a prebuilt #{@package} library, got: #{path}")

      not File.regular?(path) ->
        fail("#{@variable} names a prebuilt #{@package} library, but there is no such file: #{path}")

      true ->
        path
    end
  end

  defp build do
    cargo = find_cargo()
    arguments = ~w(build --release --package #{@package} --message-format=json-render-diagnostics)

    case run_cargo(cargo, arguments) do
      {0, messages} ->
        built_library(messages)

      {status, _messages} ->
        fail("cargo could not build #{@package} (exit status #{status}); its reasons stand above")
    end
  end

  defp find_cargo do
    minimum = minimum_rust()
    cargo = System.find_executable("cargo") || fail("found no cargo. #{advice(minimum)}")
    {answer, status} = System.cmd(cargo, ["--version"], cd: @root, stderr_to_stdout: true)

    case {status, Regex.run(~r/^cargo (\d+)\.(\d+)/m, answer)} do
      {0, [_all, major, minor]} ->
        found = {String.to_integer(major), String.to_integer(minor)}

        if found < minimum,
          do: fail("found Rust #{version(found)} (#{cargo}), which is too old. #{advice(minimum)}")

        cargo

      {_status, _no_version} ->
        fail("#{cargo} --version failed: #{String.trim(answer)}. #{advice(minimum)}")
    end
  end

  # one source for the number: the workspace's own rust-version
  defp minimum_rust do
    manifest = File.read!(Path.join(@root, "Cargo.toml"))
    [_all, major, minor] = Regex.run(~r/^rust-version = "(\d+)\.(\d+)/m, manifest)
    {String.to_integer(major), String.to_integer(minor)}
  end

  defp advice(minimum) do
    "ElixirScope's native library is built with Rust #{version(minimum)} or newer: install it with rustup " <>
      "(https://rustup.rs), or set #{@variable} to the absolute path of a prebuilt library."
  end

  defp version({major, minor}), do: "#{major}.#{minor}"

  # Cargo tells as JSON what it made: no guessing of target folders, triples or profiles that a user has configured.
  defp built_library(messages) do
    messages
    |> Enum.filter(&(&1 =~ ~s("reason":"compiler-artifact") and &1 =~ ~s("name":"#{@package}")))
    |> Enum.find_value(fn message ->
      case Regex.run(~r/"filenames":\["([^"]+\.(?:so|dylib))"/, message) do
        [_all, path] -> path
        nil -> nil
      end
    end) || fail("cargo succeeded, but named no library of #{@package}")
  end

  ## Running cargo

  # The library's own folder, even when it is a path dependency of another project; a read-only checkout builds
  # beside the project's other build products. CARGO_TARGET_DIR goes before both.
  defp target_dir do
    case System.get_env("CARGO_TARGET_DIR", "") do
      "" ->
        if writable?(@root),
          do: Path.join(@root, "target"),
          else: Path.join(Mix.Project.build_path(), "cargo")

      folder ->
        Path.expand(folder)
    end
  end

  defp writable?(folder), do: match?({:ok, %File.Stat{access: :read_write}}, File.stat(folder))

  defp run_cargo(cargo, arguments) do
    colour = if IO.ANSI.enabled?(), do: ~c"always", else: ~c"never"
    environment = [{~c"CARGO_TARGET_DIR", String.to_charlist(target_dir())}, {~c"CARGO_TERM_COLOR", colour}]

    port =
      Port.open(
        {:spawn_executable, cargo},
        [
          :binary,
          :exit_status,
          :stderr_to_stdout,
          :hide,
          line: 4096,
          args: arguments,
          cd: @root,
          env: environment
        ]
      )

    stream(port, "", nil, [])
  end

  # Lines of JSON are kept, all others are shown as they come. The closing line "Finished ..." is shown only after some
  # other line, so that a build with nothing to do is silent.
  defp stream(port, partial, finished, messages) do
    receive do
      {^port, {:data, {:noeol, part}}} ->
        stream(port, partial <> part, finished, messages)

      {^port, {:data, {:eol, part}}} ->
        line = partial <> part

        cond do
          String.starts_with?(line, ~s({"reason":)) -> stream(port, "", finished, [line | messages])
          finished == nil and line =~ "Finished" -> stream(port, "", finished, messages)
          true -> stream(port, "", show(line), messages)
        end

      {^port, {:exit_status, status}} ->
        {status, messages}
    end
  end

  defp show(line) do
    Mix.shell().info(line)
    :shown
  end

  ## Where the library goes

  # Beside its place first, then renamed: a running node may have the old file mapped, and must keep it whole.
  # Answers whether anything changed.
  defp install(library) do
    folder = writable_folder()
    place = Path.join(folder, @library)
    content = File.read!(library)

    if File.read(place) == {:ok, content} do
      false
    else
      beside = "#{place}.#{System.pid()}"
      File.write!(beside, content)
      File.rename!(beside, place)
      true
    end
  end

  defp source_folder, do: Path.join(@root, "priv/native")
  defp build_folder, do: Path.join(Mix.Project.app_path(), "priv/native")

  # Mix links the project's priv/ into _build. When that cannot be written to (a read-only checkout), the link gives way
  # to a folder of its own.
  defp writable_folder do
    folder = build_folder()

    case File.mkdir_p(folder) do
      :ok ->
        if writable?(folder), do: folder, else: own_folder(folder)

      {:error, _reason} ->
        own_folder(folder)
    end
  end

  defp own_folder(folder) do
    File.rm(Path.dirname(folder))
    File.mkdir_p!(folder)
    folder
  end

  @spec fail(String.t()) :: no_return
  defp fail(sentence), do: Mix.raise("elixir_scope: " <> sentence)
end
