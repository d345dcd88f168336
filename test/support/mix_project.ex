defmodule ElixirScope.Test.MixProject do
  @moduledoc """
  Projects that depend on the library, made by a test in a folder of their own, and driven by `mix` as their users do it: in
  operating system processes.

  The library is compiled once, in a project that serves as the mould of all others: `seed/0`.
  """

  @root File.cwd!()

  @enforce_keys [:folder]
  defstruct [:folder, environment: %{}]

  @doc "Compiles the library as a dependency, once in a run of the tests; answers the folder to be removed at the end."
  def seed do
    # named by tests, which may run at the same time
    :global.trans({__MODULE__, self()}, fn ->
      case :persistent_term.get(__MODULE__, nil) do
        nil ->
          folder = Path.join(System.tmp_dir!(), "elixir_scope-projects-#{System.pid()}")
          File.mkdir_p!(folder)
          seed = %__MODULE__{folder: Path.join(folder, "seed")}
          write(seed, "mix.exs", mix_exs(:seed, []))
          mix!(seed, ["compile"])
          :persistent_term.put(__MODULE__, folder)
          System.at_exit(fn _status -> File.rm_rf!(folder) end)
          folder

        folder ->
          folder
      end
    end)
  end

  @doc "A new project with these files; `name` is that of its folder."
  def new(name, files) do
    project = %__MODULE__{folder: Path.join(seed(), name)}
    for {path, content} <- files, do: write(project, path, content)
    give_library(project, "dev")
    project
  end

  @doc "Gives a build of the project the compiled library, with the times of its files."
  def give_library(project, environment) do
    build = Path.join(project.folder, "_build/#{environment}/lib")
    File.mkdir_p!(build)
    {_, 0} = System.cmd("cp", ["-a", Path.join(seed(), "seed/_build/dev/lib/elixir_scope"), build])
    :ok
  end

  @doc "Writes a file of the project, in a later second than the last run of `mix` ended in: Mix looks at whole seconds."
  def write(project, path, content) do
    await_second_after(Process.get({__MODULE__, project.folder}, 0))
    path = Path.join(project.folder, path)
    File.mkdir_p!(Path.dirname(path))
    File.write!(path, content)
  end

  @doc "The text of a `mix.exs`."
  def mix_exs(app, project, deps \\ [{:elixir_scope, path: @root}], application \\ []) do
    defaults = [app: app, version: "0.1.0", elixir: "~> 1.14"]
    instrumented = if app == :seed, do: "", else: "compilers: [:elixir_scope] ++ Mix.compilers(),"
    module = Macro.camelize("#{app}")

    """
    defmodule #{module}.MixProject do
      use Mix.Project

      def project do
        [#{instrumented}
         deps: #{inspect(deps)}] ++ #{inspect(project)} ++ #{inspect(defaults)}
      end

      def application, do: #{inspect([extra_applications: [:logger]] ++ application)}
    end
    """
  end

  @doc "Runs `mix` in the project: what it said, and its exit status."
  def mix(project, args, environment \\ %{}) do
    library = Path.join(:code.priv_dir(:elixir_scope), "native/elixir_scope_nif.so")

    environment =
      %{
        "MIX_ENV" => "dev",
        "MIX_BUILD_PATH" => nil,
        "MIX_QUIET" => nil,
        "ELIXIR_SCOPE_LIBRARY" => real(library),
        "ELIXIR_SCOPE_ENABLED" => nil,
        "ELIXIR_SCOPE_STRATEGY" => nil
      }
      |> Map.merge(project.environment)
      |> Map.merge(environment)

    answer =
      System.cmd("mix", args, cd: project.folder, stderr_to_stdout: true, env: Map.to_list(environment))

    Process.put({__MODULE__, project.folder}, System.os_time(:second))
    answer
  end

  defp await_second_after(second) do
    if System.os_time(:second) <= second do
      Process.sleep(1_000 - rem(System.os_time(:millisecond), 1_000))
      await_second_after(second)
    end
  end

  def mix!(project, args, environment \\ %{}) do
    case mix(project, args, environment) do
      {said, 0} ->
        said

      {said, status} ->
        raise "mix #{Enum.join(args, " ")} in #{project.folder} ended with #{status}:\n#{said}"
    end
  end

  @doc "Compiles the project, starts it, and answers the value of the expression in it, with what was said before."
  def run!(project, code, environment \\ %{}, options \\ []) do
    script = "IO.puts([\"\\nanswer: \", Base.encode64(:erlang.term_to_binary((#{code})))])"
    said = mix!(project, ["run"] ++ options ++ ["-e", script], environment)
    [said, answer] = String.split(said, "\nanswer: ")
    {answer |> String.trim() |> Base.decode64!() |> :erlang.binary_to_term(), said}
  end

  @doc "The modules that the sidecars of an application are there for."
  def sidecars(project, app, environment \\ "dev") do
    Path.join(ebin(project, app, environment), "*.scope")
    |> Path.wildcard()
    |> Enum.map(&(&1 |> Path.basename(".scope") |> String.to_atom()))
    |> Enum.sort()
  end

  def ebin(project, app, environment \\ "dev"),
    do: Path.join(project.folder, "_build/#{environment}/lib/#{app}/ebin")

  @doc "Size, time and inode of files: what must not change when nothing is to be done."
  def stats(paths),
    do: Map.new(paths, &{&1, File.stat!(&1, time: :posix) |> Map.take([:size, :mtime, :inode])})

  # Mix links priv/ into _build
  defp real(path) do
    case :file.read_link_all(Path.dirname(Path.dirname(path))) do
      {:ok, _target} -> Path.expand("priv/native/elixir_scope_nif.so", @root)
      {:error, _no_link} -> path
    end
  end
end
