defmodule ElixirScope.Instrument.PlacesTest do
  # Where instrumented code has to be found and loaded: umbrellas, dependencies, tests, releases, a VM that compiles again.
  use ExUnit.Case, async: true

  import ElixirScope.Test.MixProject

  @moduletag timeout: 120_000

  @root File.cwd!()
  @library {:elixir_scope, path: @root}
  @loaded "(for %{module: module, status: :loaded} <- ElixirScope.Instrument.Sidecar.report(), do: module)"
  @recorded "(with [_ | _] = events <- ElixirScope.get_events(), do: " <>
              "(for %ElixirScope.Events.FunctionEntry{args: args} <- events, do: args))"

  defp module(name, body), do: "defmodule #{name} do\n#{body}\nend\n"

  test "in an umbrella each application has its own options, and all are loaded together" do
    paths =
      ~s(build_path: "../../_build", deps_path: "../../deps", lockfile: "../../mix.lock", config_path: "../../config/config.exs")

    child = fn app, project, deps ->
      mix_exs(app, project, deps) |> String.replace("[compilers:", "[#{paths}, compilers:")
    end

    project =
      new("umbrella", %{
        "mix.exs" =>
          "defmodule Umbrella.MixProject do\n  use Mix.Project\n  def project, do: [apps_path: \"apps\", version: \"0.1.0\", deps: []]\nend\n",
        "config/config.exs" => "import Config\n",
        "apps/left/mix.exs" => child.(:left, [elixir_scope: [strategy: :full_trace]], [@library]),
        "apps/left/lib/left.ex" =>
          module("Left", "def left(x), do: Right.right(hidden(x))\ndefp hidden(x), do: x"),
        "apps/right/mix.exs" => child.(:right, [], [@library]),
        "apps/right/lib/right.ex" => module("Right", "def right(x), do: hidden(x)\ndefp hidden(x), do: x")
      })

    said = mix!(project, ["compile"])
    assert said =~ "Instrumenting 1 module of left\n"
    assert said =~ "Instrumenting 1 module of right\n"
    code = "ElixirScope.start(); Left.left(1); {#{@loaded}, #{@recorded}}"
    assert {{[Left, Right], [[1], [1], [1]]}, said} = run!(project, code)
    refute said =~ "Instrumenting"

    write(
      project,
      "apps/right/lib/right.ex",
      module("Right", "def right(x), do: hidden(x)\ndefp hidden(x), do: x + 1")
    )

    said = mix!(project, ["compile"])
    assert said =~ "Instrumenting 1 module of right\n"
    refute said =~ "of left"

    assert mix!(project, ["elixir_scope.info"]) =~
             ~r/left: 1 of 1 modules instrumented \(strategy :full_trace\)\n  Left  2 functions\nright: 1 of 1 .*\n  Right  1 function\n/

    assert mix!(project, ["elixir_scope.info", "Right"]) =~ "Right of right: 1 function\n  Right.right/1\n"

    # what `recompile/0` of IEx does, which enables the compilers of the root only
    again = ~S"""
    (
      ElixirScope.start()
      Process.sleep(1_000 - rem(System.os_time(:millisecond), 1_000) + 10)
      File.write!("apps/right/lib/right.ex", "defmodule Right do\ndef right(x), do: [x]\nend")
      Enum.each(["compile", "compile.all" | for(c <- Mix.compilers(), do: "compile.#{c}")], &Mix.Task.reenable/1)
      Mix.Task.run("compile", [])
      [8] = Left.left(8)
    )
    """

    assert {[[8], [8], [8]], said} = run!(project, "(#{again}; #{@recorded})")
    assert said =~ "Instrumenting 1 module of right\n"

    # from one of its applications
    inside = %{project | folder: Path.join(project.folder, "apps/right")}
    assert {loaded, ""} = run!(inside, @loaded)
    assert Right in loaded

    # an application that another one names is left to its own compiler
    write(
      project,
      "apps/left/mix.exs",
      child.(:left, [elixir_scope: [deps: [:right]]], [@library, {:right, in_umbrella: true}])
    )

    said = mix!(project, ["compile"])

    assert said =~
             "the modules of :right, named in deps:, are left to the project :right, which instruments them already"

    assert {[Left, Right], _said} = run!(project, @loaded)

    # options and diagnostics of each: off in one
    write(project, "apps/right/mix.exs", child.(:right, [elixir_scope: [enabled: false]], [@library]))
    write(project, "apps/left/mix.exs", child.(:left, [], [@library]))
    assert {[Left], _said} = run!(project, @loaded)
  end

  test "a dependency is instrumented where it is named, and plain again where it is not" do
    project =
      new("named", %{
        "mix.exs" =>
          mix_exs(:named, [elixir_scope: [deps: [:helper]]], [@library, {:helper, path: "helper"}]),
        "lib/named.ex" => module("Named", "def named(x), do: Helper.help(x)"),
        "helper/mix.exs" =>
          mix_exs(:helper, [], []) |> String.replace("compilers: [:elixir_scope] ++ Mix.compilers(),", ""),
        "helper/lib/helper.ex" => module("Helper", "def help(x), do: x")
      })

    code = "ElixirScope.start(); Named.named(3); {#{@loaded}, #{@recorded}}"
    assert {{[Helper, Named], [[3], [3]]}, said} = run!(project, code)
    assert said =~ "Instrumenting 1 module of helper\n"

    write(project, "helper/lib/helper.ex", module("Helper", "def help(x), do: x + 0"))
    said = mix!(project, ["compile"])
    assert said =~ "Instrumenting 1 module of helper\n"
    assert mix!(project, ["elixir_scope.info", "Helper"]) == "Helper of helper: 1 function\n  Helper.help/1\n"

    write(project, "mix.exs", mix_exs(:named, [], [@library, {:helper, path: "helper"}]))
    assert {{[Named], [[3]]}, _said} = run!(project, code)
    assert sidecars(project, :helper) == []

    # `mix clean` takes away what was put beside the beams of others
    write(
      project,
      "mix.exs",
      mix_exs(:named, [elixir_scope: [deps: [:helper]]], [@library, {:helper, path: "helper"}])
    )

    mix!(project, ["compile"])
    assert sidecars(project, :helper) == [Helper]
    mix!(project, ["clean"])
    assert sidecars(project, :helper) == []
    assert File.exists?(Path.join(ebin(project, :helper), "Elixir.Helper.beam"))
    refute File.exists?(Path.join(project.folder, "_build/dev/lib/named"))
  end

  test "a module with options of its own is instrumented where others were named, and its options win" do
    own = "use ElixirScope.Instrument, functions: [:chosen]\n"

    project =
      new("own", %{
        "mix.exs" => mix_exs(:own, elixir_scope: [modules: [Own.Listed]]),
        "lib/listed.ex" => module("Own.Listed", "def listed(x), do: x"),
        "lib/other.ex" => module("Own.Other", "def other(x), do: x"),
        "lib/own.ex" => module("Own.Own", own <> "def chosen(x), do: x\ndef left(x), do: x")
      })

    code =
      "ElixirScope.start(); for f <- [&Own.Listed.listed/1, &Own.Other.other/1, &Own.Own.chosen/1, &Own.Own.left/1],
      do: f.(f); for [f] <- #{@recorded}, do: Function.info(f)[:name]"

    assert {[:listed, :chosen], _said} = run!(project, code)

    assert mix!(project, ["elixir_scope.info"]) =~
             ~r/Own.Other   - not named in modules:\n  Own.Own     1 function\n/

    write(
      project,
      "lib/own.ex",
      module("Own.Own", "use ElixirScope.Instrument, speed: 1\ndef chosen(x), do: x")
    )

    assert {said, 1} = mix(project, ["compile"])
    assert said =~ "use ElixirScope.Instrument: unknown option :speed: expected one of the options :strategy,"

    # excluded goes before all
    write(project, "lib/own.ex", module("Own.Own", own <> "def chosen(x), do: {x}"))

    write(
      project,
      "mix.exs",
      mix_exs(:own, elixir_scope: [modules: [Own.Listed], exclude_modules: [Own.Own]])
    )

    mix!(project, ["compile"])
    assert sidecars(project, :own) == [Own.Listed]
  end

  test "mix test records the project's code; with --cover the counting code stays" do
    project =
      new("tested", %{
        "mix.exs" => mix_exs(:tested, []),
        "lib/tested.ex" => module("Tested", "def tested(x), do: x"),
        "test/test_helper.exs" => "ExUnit.start()\n",
        "test/tested_test.exs" => """
        defmodule TestedTest do
          use ExUnit.Case

          test "is recorded, or counted" do
            ElixirScope.start()
            Tested.tested(:seen)
            expected = if :code.which(Tested) == :cover_compiled, do: [], else: [[:seen]]
            IO.inspect(#{@recorded}, label: "recorded")
            assert #{@recorded} == expected
          end
        end
        """
      })

    give_library(project, "test")
    environment = %{"MIX_ENV" => nil}
    assert mix!(project, ["test"], environment) =~ "recorded: [[:seen]]"
    said = mix!(project, ["test", "--cover"], environment)
    assert said =~ "recorded: []"
    assert said =~ ~r/100.00*% \| Tested/
    refute said =~ "without instrumentation"
    # a warning of the compiler for tests
    assert mix!(project, ["test"], environment) =~ "recorded: [[:seen]]"
  end

  test "a release carries the sidecars, stripped of debug information, to where the project is not" do
    project =
      new("carried", %{
        "mix.exs" => mix_exs(:carried, [], [@library], mod: {Carried, []}),
        "lib/carried.ex" =>
          module("Carried", """
          use Application

          def start(_type, _args) do
            {:ok, _pid} = Supervisor.start_link([ElixirScope], strategy: :one_for_one)
            IO.inspect({:code.get_mode(), work(2), #{@loaded}, #{@recorded}})
            System.halt(0)
          end

          def work(x), do: x
          """)
      })

    give_library(project, "prod")
    away = Path.join(Path.dirname(project.folder), "away")
    mix!(project, ["release", "--quiet", "--path", away], %{"MIX_ENV" => "prod"})
    File.rm_rf!(Path.join(project.folder, "_build/prod"))

    beam = String.to_charlist(Path.join(away, "lib/carried-0.1.0/ebin/Elixir.Carried.beam"))
    assert {:error, :beam_lib, {:missing_chunk, _file, ~c"Dbgi"}} = :beam_lib.chunks(beam, [~c"Dbgi"])

    assert release(away) == "{:embedded, 2, [Carried], [[2]]}"
    assert release(away, %{"ELIXIR_SCOPE_ENABLED" => "0"}) == "{:embedded, 2, [], {:error, :not_running}}"
    assert release(away, %{"RELEASE_MODE" => "interactive"}) == "{:interactive, 2, [Carried], [[2]]}"
  end

  defp release(folder, environment \\ %{}) do
    {said, 0} =
      System.cmd(Path.join(folder, "bin/carried"), ["start"],
        env: Map.to_list(environment),
        stderr_to_stdout: true
      )

    String.trim(said)
  end

  test "in a VM where it runs, a compilation brings in what it changed, and what stood in the same file" do
    beside = "defmodule Again.Beside do\ndef beside(x), do: {1, x}\nend\n"

    project =
      new("again", %{
        "mix.exs" => mix_exs(:again, []),
        "lib/one.ex" => module("Again.One", "def one(x), do: {1, x}"),
        "lib/two.ex" =>
          module("Again.Two", "use ElixirScope.Instrument, args: true\ndef two(x), do: {1, x}") <> beside
      })

    # what `recompile/0` of IEx does
    code = ~S"""
    beside = "defmodule Again.Beside do\ndef beside(x), do: {1, x}\nend\n"
    again = fn ->
      Mix.Task.reenable("compile")
      Mix.Task.reenable("compile.all")
      Enum.each(Mix.Project.config()[:compilers], &Mix.Task.reenable("compile.#{&1}"))
      Process.sleep(1_000 - rem(System.os_time(:millisecond), 1_000) + 10)
      Mix.Task.run("compile", [])
      since = ElixirScope.now()
      values = {Again.One.one(0), Again.Two.two(0), Again.Beside.beside(0)}
      entries = for %{event_type: :function_entry} = e <- ElixirScope.get_events(since: since), do: e.args
      paths = for m <- [Again.One, Again.Two, Again.Beside], do: Path.extname(:code.which(m))
      {values, length(entries), paths}
    end
    ElixirScope.start()
    first = again.()
    Process.sleep(1_000 - rem(System.os_time(:millisecond), 1_000) + 10)
    File.write!("lib/two.ex", "defmodule Again.Two do\nuse ElixirScope.Instrument, args: true\ndef two(x), do: {22, x}\nend\n#{beside}")
    second = again.()
    third = again.()
    [first, second, third]
    """

    beams = [".beam", ".beam", ".beam"]
    changed = {{{1, 0}, {22, 0}, {1, 0}}, 3, beams}
    assert {[{{{1, 0}, {1, 0}, {1, 0}}, 3, ^beams}, ^changed, ^changed], said} = run!(project, code)
    assert said =~ "Instrumenting 3 modules"
    assert said =~ "Instrumenting 1 module "
  end
end
