defmodule ElixirScope.Instrument.CompilerTest do
  # The compiler as projects use it. Each test is one project, and goes on with it as its owner would.
  use ExUnit.Case, async: true

  import ElixirScope.Test.MixProject

  @moduletag timeout: 120_000

  @root File.cwd!()
  @library {:elixir_scope, path: @root}

  # How often what was called with these arguments is on the tape, after `calls`.
  defp recorded(calls) do
    "(:ok = ElixirScope.start(); #{calls}; " <>
      "for %ElixirScope.Events.FunctionEntry{args: args} <- ElixirScope.get_events(), do: args)"
  end

  @loaded "(for %{module: module, status: :loaded} <- ElixirScope.Instrument.Sidecar.report(), do: module)"
  @report "(for entry <- ElixirScope.Instrument.Sidecar.report(), do: {entry.module, entry.status})"

  defp module(name, body), do: "defmodule #{name} do\n#{body}\nend\n"

  test "a project is recorded without a line in it: modules, implementations, Erlang; its protocols stay plain" do
    project =
      new("plain_words", %{
        "mix.exs" => mix_exs(:words, []),
        "lib/words.ex" =>
          module("Words", "def count(text), do: :words_erl.count(text) + Words.Size.size(text)"),
        "lib/server.ex" =>
          module("Words.Server", """
          use GenServer
          def start_link(n), do: GenServer.start_link(__MODULE__, n)
          def init(n), do: {:ok, n}
          def handle_call(:up, _from, n), do: {:reply, :ok, n + 1}
          """),
        "lib/size.ex" => """
        defprotocol Words.Size do
          def size(term)
        end

        defimpl Words.Size, for: BitString do
          def size(text), do: byte_size(text) - byte_size(text)
        end
        """,
        "src/words_erl.erl" => """
        -module(words_erl).
        -export([count/1]).
        count(Text) -> length(string:lexemes(Text, " ")).
        """
      })

    calls =
      "ElixirScope.start(); 2 = Words.count(\"a b\"); {:ok, pid} = Words.Server.start_link(1); GenServer.call(pid, :up); 2 = :sys.get_state(pid)"

    events =
      "for %{event_type: type} = e when type in [:function_entry, :state_change] <- ElixirScope.get_events(), " <>
        "do: {type, e.module, Map.get(e, :function) || e.callback}"

    assert {events, said} = run!(project, "(#{calls}; #{events})")
    assert said =~ "Instrumenting 4 modules of words\n"

    assert [
             {:function_entry, Words, :count},
             {:function_entry, :words_erl, :count},
             {:function_entry, Words.Size.BitString, :size},
             {:function_entry, Words.Server, :start_link} | server
           ] = events

    assert {:function_entry, Words.Server, :handle_call} in server
    assert {:state_change, Words.Server, :handle_call} in server

    names = [Words, Words.Server, Words.Size.BitString, :words_erl]
    assert sidecars(project, :words) == names

    assert {{^names, true, where}, ""} =
             run!(project, "{#{@loaded}, Protocol.consolidated?(Words.Size), :code.which(Words)}")

    assert where == String.to_charlist(Path.join(ebin(project, :words), "Elixir.Words.beam"))

    # what others see of the folder: the beams as the compilers made them
    for beam <- Path.wildcard(Path.join(ebin(project, :words), "*.beam")) do
      assert {:ok, {_module, [abstract_code: code]}} =
               :beam_lib.chunks(String.to_charlist(beam), [:abstract_code])

      refute inspect(code, limit: :infinity) =~ "ElixirScope"
    end
  end

  test "only what changed is instrumented again: a file, the options, damage" do
    project =
      new("steps", %{
        "mix.exs" => mix_exs(:steps, []),
        "lib/one.ex" => module("Steps.One", "def one(x), do: x"),
        "lib/two.ex" => module("Steps.Two", "def two(x), do: hidden(x)\ndefp hidden(x), do: x")
      })

    assert mix!(project, ["compile"]) =~ "Instrumenting 2 modules"

    files =
      for file <- ~w(Elixir.Steps.One.scope Elixir.Steps.Two.scope elixir_scope.index),
          do: Path.join(ebin(project, :steps), file)

    before = stats(files)
    # in a later second, too
    write(project, "README.md", "")
    assert mix!(project, ["compile"]) == ""
    assert stats(files) == before

    # one file: one module
    write(project, "lib/two.ex", module("Steps.Two", "def two(x), do: hidden(x) + 1\ndefp hidden(x), do: x"))
    assert mix!(project, ["compile"]) =~ "Instrumenting 1 module of steps\n"
    assert changed(before) == ["Elixir.Steps.Two.scope"]
    assert {[[1]], ""} = run!(project, recorded("2 = Steps.Two.two(1)"))

    # only its lines: the code is the same, and so is its md5
    write(project, "lib/one.ex", "\n\n\n" <> module("Steps.One", "def one(x), do: x"))
    assert mix!(project, ["compile"]) =~ "Instrumenting 1 module of steps\n"

    # other options, and no file of the project but mix.exs
    write(project, "mix.exs", mix_exs(:steps, elixir_scope: [strategy: :full_trace]))
    assert mix!(project, ["compile"]) =~ "Instrumenting 2 modules"
    assert {[[1], [1]], _said} = run!(project, recorded("2 = Steps.Two.two(1)"))

    # a module dropped, another one alone
    write(project, "mix.exs", mix_exs(:steps, elixir_scope: [strategy: :full_trace, modules: [Steps.One]]))
    refute mix!(project, ["compile"]) =~ "Instrumenting"
    assert sidecars(project, :steps) == [Steps.One]
    assert {{[], [Steps.One]}, ""} = run!(project, "{#{recorded("2 = Steps.Two.two(1)")}, #{@loaded}}")

    # one excluded, the file of the other gone
    write(project, "mix.exs", mix_exs(:steps, elixir_scope: [exclude_modules: [Steps.One]]))
    assert mix!(project, ["compile"]) =~ "Instrumenting 1 module of steps\n"
    assert sidecars(project, :steps) == [Steps.Two]
    File.rm!(Path.join(project.folder, "lib/two.ex"))
    mix!(project, ["compile"])
    assert sidecars(project, :steps) == []
    refute File.exists?(Path.join(ebin(project, :steps), "elixir_scope.index"))
  end

  defp changed(before) do
    now = before |> Map.keys() |> stats()
    for({path, stat} <- now, stat != before[path], do: Path.basename(path)) |> Enum.sort()
  end

  test "a damaged sidecar is told and leaves plain code; the next compilation heals it, as it does a damaged manifest" do
    project =
      new("damage", %{
        "mix.exs" => mix_exs(:damage, []),
        "lib/one.ex" => module("Damage.One", "def one(x), do: x"),
        "lib/two.ex" => module("Damage.Two", "def two(x), do: x")
      })

    mix!(project, ["compile"])
    path = Path.join(ebin(project, :damage), "Elixir.Damage.One.scope")
    whole = File.read!(path)
    File.write!(path, binary_part(whole, 0, div(byte_size(whole), 2)))
    code = "{#{@report}, #{recorded("{1, 2} = {Damage.One.one(1), Damage.Two.two(2)}")}}"
    assert {{report, [[2]]}, said} = run!(project, code, %{}, ["--no-compile"])
    assert report == [{Damage.One, {:plain, :damaged}}, {Damage.Two, :loaded}]
    assert said =~ "Damage.One runs without instrumentation: its sidecar is damaged."

    assert {{[{Damage.One, :loaded}, {Damage.Two, :loaded}], [[1], [2]]}, said} = run!(project, code)
    assert said =~ "Instrumenting 1 module of damage\n"

    # bytes of the same number: the checksum tells
    last = byte_size(whole) - 1
    File.write!(path, binary_part(whole, 0, last) <> <<:binary.last(whole) + 1>>)
    assert {{[{Damage.One, {:plain, :damaged}}, {Damage.Two, :loaded}], [[2]]}, _said} = run!(project, code)

    assert mix!(project, ["elixir_scope.info"]) =~
             ~r/Damage.One  - its sidecar is damaged\n  Damage.Two  1 function\n/

    # an index without its end: nothing is loaded of it
    File.write!(path, whole)
    index = Path.join(ebin(project, :damage), "elixir_scope.index")
    File.write!(index, String.slice(File.read!(index), 0..-5//1))
    assert {{[], []}, _said} = run!(project, code, %{}, ["--no-compile"])

    manifest = Path.join(project.folder, "_build/dev/lib/damage/.mix/compile.elixir_scope")
    File.write!(manifest, "not a manifest at all, but longer than a checksum")
    assert {{[{Damage.One, :loaded}, {Damage.Two, :loaded}], [[1], [2]]}, said} = run!(project, code)
    assert said =~ "Instrumenting 2 modules"

    # code that was compiled past the compiler is not mistaken for the one that was instrumented
    write(project, "lib/two.ex", module("Damage.Two", "def two(x), do: x + 1 - 1"))
    mix!(project, ["compile.elixir"])
    assert {{report, [[1]]}, _said} = run!(project, code, %{}, ["--no-compile"])
    assert report == [{Damage.One, :loaded}, {Damage.Two, {:plain, :changed}}]
  end

  test "switching off leaves plain code: in the configuration, in mix.exs, without the compiler, without the library" do
    one = module("Off.One", "def one(x), do: x")
    project = new("off", %{"mix.exs" => mix_exs(:off, []), "lib/one.ex" => one})

    plain =
      "{Off.One.one(7), #{@report}, :code.get_object_code(Off.One) |> elem(1) |> :beam_lib.md5() |> elem(1) |> elem(1)
      == Off.One.module_info(:md5)}"

    assert {{7, [{Off.One, :loaded}], false}, _said} = run!(project, plain)

    # the environment and the configuration of a run; nothing is compiled for them
    assert {{7, [{Off.One, {:plain, :disabled}}], true}, ""} =
             run!(project, plain, %{"ELIXIR_SCOPE_ENABLED" => "false"})

    write(project, "config/config.exs", "import Config\nconfig :elixir_scope, enabled: false\n")
    assert {{7, [{Off.One, {:plain, :disabled}}], true}, _said} = run!(project, plain)
    File.rm!(Path.join(project.folder, "config/config.exs"))
    assert {{7, [{Off.One, :loaded}], false}, _said} = run!(project, plain)

    # the compiler taken out of mix.exs, the library kept
    without = mix_exs(:off, []) |> String.replace("[:elixir_scope] ++", "[] ++ ")
    write(project, "mix.exs", without)
    assert {{7, [{Off.One, {:plain, _reason}}], true}, _said} = run!(project, plain)

    # back, and off by its option
    write(project, "mix.exs", mix_exs(:off, []))
    assert {{7, [{Off.One, :loaded}], false}, _said} = run!(project, plain)
    write(project, "mix.exs", mix_exs(:off, elixir_scope: [enabled: false]))
    assert {{7, [], true}, _said} = run!(project, plain)
    assert sidecars(project, :off) == []
    assert mix!(project, ["elixir_scope.info"]) == "off: not instrumented (enabled: false)\n"

    # back, and the dependency taken away with the compiler
    write(project, "mix.exs", mix_exs(:off, []))
    assert {{7, [{Off.One, :loaded}], false}, _said} = run!(project, plain)
    write(project, "mix.exs", without |> String.replace(inspect([@library]), "[]"))
    assert {{7, false}, said} = run!(project, "{Off.One.one(7), Code.ensure_loaded?(ElixirScope)}")
    refute said =~ "warning"
    assert mix!(project, ["compile", "--force", "--warnings-as-errors"]) =~ "Compiling 1 file"
  end

  test "wrong options end the compilation and say what was expected; what is missing or cannot be is a warning" do
    project =
      new("wrong", %{
        "mix.exs" => mix_exs(:wrong, elixir_scope: [strategy: :everything]),
        "lib/one.ex" => module("Wrong.One", "def one(x), do: x"),
        "lib/bare.ex" => module("Wrong.Bare", "@compile {:debug_info, false}\ndef bare(x), do: x"),
        "lib/shape.ex" => "defprotocol Wrong.Shape do\n def area(x)\nend\n"
      })

    assert {said, 1} = mix(project, ["compile"])

    assert said =~
             "error: elixir_scope: invalid value for option :strategy: expected one of :minimal, :balanced, :full_trace, " <>
               "got: :everything (in elixir_scope: of mix.exs)"

    for {options, expected} <- [
          {[speed: :high],
           "unknown option :speed: expected one of the options :enabled, :strategy, :modules, :exclude_modules, :deps"},
          {[modules: Wrong.One],
           "invalid value for option :modules: expected a list of atoms, got: Wrong.One"},
          {[deps: [:nobody]],
           "invalid value for option :deps: expected no names, as the project has no dependencies, got: :nobody"},
          {[deps: [:elixir_scope]], "invalid value for option :deps: expected no names"},
          {:on, "invalid value for option :opts: expected a keyword list of options, got: :on"}
        ] do
      write(project, "mix.exs", mix_exs(:wrong, elixir_scope: options))
      assert {said, 1} = mix(project, ["compile"])
      assert said =~ expected
    end

    names = [Wrong.One, Wrong.Bare, Wrong.Shape, Wrong.Nowhere]
    write(project, "mix.exs", mix_exs(:wrong, elixir_scope: [modules: names]))
    said = mix!(project, ["compile"])
    assert said =~ "Instrumenting 2 modules of wrong\n"

    assert said =~
             "warning: elixir_scope: Wrong.Nowhere, named in modules:, is not there: expected a module of :wrong\n"

    assert said =~
             "warning: elixir_scope: Wrong.Shape is not instrumented: a protocol; its implementations are instrumented\n"

    assert said =~
             "warning: elixir_scope: Wrong.Bare is not instrumented: no debug information: expected a module compiled with " <>
               "debug_info: true and not stripped (strip_beams)\n"

    # told once, and kept for those who ask
    assert mix!(project, ["compile"]) == ""
    assert mix!(project, ["compile", "--all-warnings"]) =~ "Wrong.Nowhere, named in modules:, is not there"

    said = mix!(project, ["elixir_scope.info"])
    assert said =~ "wrong: 1 of 3 modules instrumented (strategy :balanced)\n"
    assert said =~ ~r/^  Wrong.Bare   - no debug information: /m
    assert said =~ ~r/^  Wrong.One    1 function$/m

    assert mix!(project, ["elixir_scope.info", "Wrong.One"]) ==
             "Wrong.One of wrong: 1 function\n  Wrong.One.one/1\n"

    assert {said, 1} = mix(project, ["elixir_scope.info", "Wrong.Oen"])

    assert said =~
             "elixir_scope.info: no module Wrong.Oen: expected the name of a module of :wrong, such as Wrong.One"
  end
end
