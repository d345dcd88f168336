# What instrumentation costs the code that it goes into, each against the same code without it, in turns: the pair of entry and exit
# as it is injected, the same switched off, a GenServer that records its callbacks, what a module takes to be made, what stays
# on heap and stack.
#
#     mix run bench/instrument.exs [--smoke] [--part pair|off|host|server|compile|memory]

Code.require_file("support/all.exs", __DIR__)

defmodule Bench.Instrument.Loops do
  @moduledoc false

  # One loop for each function of each copy, since only a call that names its module is the call of an application.

  alias ElixirScope.Native

  @copies [:plain, :recorded, :void, :minimal, :hosting]

  @spec copy(atom) :: module
  def copy(name), do: Module.concat(Bench.Instrument, Macro.camelize("#{name}"))

  @spec copies() :: [module]
  def copies, do: Enum.map(@copies, &copy/1)

  def empty(0, _kind, _name), do: :ok
  def empty(n, kind, name), do: empty(n - 1, kind, name)

  def noop(0, _kind, _name), do: :ok

  def noop(n, kind, name) do
    Native.noop_3(n, kind, name)
    noop(n - 1, kind, name)
  end

  for copy <- @copies, function <- [:small, :tail, :sum, :polynomial] do
    def unquote(:"#{function}_#{copy}")(0, _kind, _name), do: :ok

    def unquote(:"#{function}_#{copy}")(n, kind, name) do
      unquote(Module.concat(Bench.Instrument, Macro.camelize("#{copy}"))).unquote(function)(n, kind, name)
      unquote(:"#{function}_#{copy}")(n - 1, kind, name)
    end
  end

  for copy <- @copies do
    # the state is the counter: each call of the callback changes it
    def unquote(:"callback_#{copy}")(0, _kind, _name), do: :ok

    def unquote(:"callback_#{copy}")(n, kind, name) do
      unquote(Module.concat(Bench.Instrument, Macro.camelize("#{copy}"))).handle_call(:ask, kind, n)
      unquote(:"callback_#{copy}")(n - 1, kind, name)
    end
  end

  def ask(0, _server), do: :ok

  def ask(n, server) do
    GenServer.call(server, :ask)
    ask(n - 1, server)
  end

  def ask_by(0, _caller, _server), do: :ok

  def ask_by(n, caller, server) do
    caller.ask(server)
    ask_by(n - 1, caller, server)
  end
end

defmodule Bench.Instrument do
  @moduledoc false

  alias Bench.Instrument.Loops
  alias Bench.{Samples, Subjects, Tape}
  alias ElixirScope.Events.{FunctionEntry, FunctionExit, StateChange}
  alias ElixirScope.Instrument.{Engine, Plan}

  @kind :card
  @name "0123456789"

  @parts ~w(pair off host server compile memory)

  def run(options) do
    part = options.given[:part]

    if part && part not in @parts,
      do: Bench.abort("--part is one of #{Enum.join(@parts, ", ")}, got: #{part}")

    folder = Path.join(System.tmp_dir!(), "elixir_scope-instrument-#{System.pid()}")

    try do
      Subjects.compile!(Loops.copies(), folder)
      Tape.start!()
      instrument!()
      check_answers()
      for name <- @parts, part in [nil, name], do: part(name, options, folder)
    after
      File.rm_rf!(folder)
    end
  end

  defp part("pair", options, _folder), do: pair(options)
  defp part("off", options, _folder), do: off(options)
  defp part("host", options, _folder), do: host(options)
  defp part("server", options, _folder), do: server(options)
  defp part("compile", options, folder), do: Bench.Instrument.Compile.run(options, folder)
  defp part("memory", options, _folder), do: memory(options)

  defp instrument! do
    :ok = ElixirScope.instrument(Loops.copy(:recorded), strategy: :balanced)
    :ok = ElixirScope.instrument(Loops.copy(:void), strategy: :balanced, args: false, returns: false)
    :ok = ElixirScope.instrument(Loops.copy(:minimal), strategy: :minimal)
    :ok = ElixirScope.instrument(Loops.copy(:hosting), functions: [:small])
  end

  defp loop(name), do: fn n -> apply(Loops, name, [n, @kind, @name]) end

  defp turns(options, names, pause \\ fn -> :ok end) do
    Bench.isolated(fn ->
      Samples.in_turns(
        for(name <- names, do: %{name: name, run: loop(name)}),
        Bench.size(options, 1_500, 10),
        Bench.size(options, 1_000, 50),
        pause
      )
    end)
  end

  # -- Answers ----------------------------------------------------------------------------------------------------------

  defp check_answers do
    for module <- Loops.copies() do
      Bench.check!(module.small(1, @kind, @name) == @kind, "#{inspect(module)} gives what it is given")
      Bench.check!(module.tail(1, @kind, @name) == @kind, "and by a tail call")
      Bench.check!(module.polynomial(12, @kind, @name) == @kind, "and by arithmetic")
      Bench.check!(module.handle_call(:ask, nil, 5) == {:reply, 5, 6}, "and as a callback")
    end

    events = fn module -> ElixirScope.get_events(module: module) end
    Bench.check!(events.(Loops.copy(:plain)) == [], "the plain copy records nothing")

    recorded = events.(Loops.copy(:recorded))
    of = fn events, type, function -> for %{__struct__: ^type, function: ^function} = e <- events, do: e end

    [entry] = of.(recorded, FunctionEntry, :small)
    [exit] = of.(recorded, FunctionExit, :small)

    Bench.check!(
      entry.args == [1, @kind, @name] and exit.result == @kind and exit.call_id == entry.call_id,
      "entry and exit"
    )

    [tail] = of.(recorded, FunctionExit, :tail)
    Bench.check!(tail.exit_reason == :tail_call, "the tail call is seen, got #{inspect(tail)}")
    [state] = for %StateChange{} = event <- recorded, do: event
    Bench.check!(state.new_state == 6, "the new state is on tape, got #{inspect(state)}")

    void = events.(Loops.copy(:void))
    [entry] = of.(void, FunctionEntry, :small)
    [exit] = of.(void, FunctionExit, :small)

    Bench.check!(
      entry.args in [nil, []] and exit.result == nil,
      "no arguments, no result, got #{inspect(entry)}"
    )

    minimal = events.(Loops.copy(:minimal))
    Bench.check!(of.(minimal, FunctionEntry, :small) == [], "minimal records callbacks only")
    [_callback] = of.(minimal, FunctionEntry, :handle_call)

    names = for %{function: function} <- events.(Loops.copy(:hosting)), uniq: true, do: function
    Bench.check!(names == [:small], "only the chosen function, got #{inspect(names)}")
    Bench.check!(Tape.lost() == %{}, "nothing was lost")
  end

  # -- Entry and exit ---------------------------------------------------------------------------------------------------

  defp pair(options) do
    Tape.start!()

    names =
      for function <- [:small, :tail, :callback], copy <- [:plain, :recorded], do: :"#{function}_#{copy}"

    samples = turns(options, [:empty, :noop, :small_void | names], &Tape.drain/0)
    %{lost: 0, stored: stored, evicted: evicted} = Tape.account()
    # two of each call, and a new state and a reply of each callback
    least = (2 * 4 + 2) * length(samples.noop) * Bench.size(options, 1_000, 50)
    Bench.check!(stored + evicted >= least, "at least #{least} events, got #{stored + evicted}")

    noop = Samples.net(samples.noop, samples.empty)
    added = fn name, plain -> Samples.net(samples[name], samples[plain]) end
    against = fn values, aim -> {Samples.ratio(values, noop), aim && :at_most, aim} end
    small = added.(:small_recorded, :small_plain)
    void = added.(:small_void, :small_plain)
    tail = added.(:tail_recorded, :tail_plain)
    callback = added.(:callback_recorded, :callback_plain)

    Bench.table(options, "Recorded: what a call takes more than the plain one", [
      {"empty 3-argument NIF call, net of the loop", noop, "ns", nil},
      {"a small function of three arguments", small, "ns", against.(small, 8)},
      {"the same, args: false, returns: false", void, "ns", against.(void, nil)},
      {"one that ends in a tail call", tail, "ns", against.(tail, nil)},
      {"a callback with a new state (four events)", callback, "ns", against.(callback, nil)}
    ])
  end

  # -- Switched off -----------------------------------------------------------------------------------------------------

  defp off(options) do
    Tape.stop!()
    off(options, "The recorder is not running: what a call takes more than the plain one")

    Tape.start!()
    :ok = ElixirScope.pause()
    off(options, "The recorder is paused: the same")
    :ok = ElixirScope.resume()

    recorded = Loops.copy(:recorded)
    :ok = ElixirScope.update_instrumentation(disable: [recorded])
    off(options, "The module is switched off: the same")
    Bench.check!(ElixirScope.get_events(module: recorded) == [], "nothing of the module is on tape")
    :ok = ElixirScope.update_instrumentation(enable: [recorded])
  end

  defp off(options, title) do
    names =
      for function <- [:small, :tail, :callback], copy <- [:plain, :recorded], do: :"#{function}_#{copy}"

    samples = turns(options, [:empty, :noop | names])
    noop = Samples.net(samples.noop, samples.empty)

    rows =
      for {function, what} <- [
            small: "a small function",
            tail: "one that ends in a tail call",
            callback: "a callback"
          ] do
        values = Samples.net(samples[:"#{function}_recorded"], samples[:"#{function}_plain"])
        {what, values, "ns", {Samples.ratio(values, noop), :at_most, 1.5}}
      end

    Bench.table(options, title, [{"empty 3-argument NIF call, net of the loop", noop, "ns", nil} | rows])
  end

  # -- The host's own code ----------------------------------------------------------------------------------------------

  # The recorder does not run. `sum` is plain in a module that has instrumented functions, and instrumented in the other copy;
  # its loop is private, and stays plain.
  defp host(options) do
    Tape.stop!()

    samples =
      Bench.isolated(fn ->
        Samples.in_turns(
          for(
            copy <- [:plain, :hosting, :recorded],
            do: %{name: :"sum_#{copy}", run: loop(:"sum_#{copy}")}
          ),
          Bench.size(options, 1_000, 5),
          Bench.size(options, 20, 2)
        )
      end)

    rows = [
      {"plain", samples.sum_plain, "ns", nil},
      {"plain, in an instrumented module", samples.sum_hosting, "ns",
       {Samples.ratio(samples.sum_hosting, samples.sum_plain), :at_most, 1.02}},
      {"instrumented", samples.sum_recorded, "ns",
       {Samples.ratio(samples.sum_recorded, samples.sum_plain), nil, nil}}
    ]

    Bench.table(options, "The recorder is not running: a thousand turns of arithmetic", rows)

    samples = turns(options, for(copy <- [:plain, :hosting, :recorded], do: :"polynomial_#{copy}"))

    rows = [
      {"plain", samples.polynomial_plain, "ns", nil},
      {"plain, in an instrumented module", samples.polynomial_hosting, "ns",
       {Samples.ratio(samples.polynomial_hosting, samples.polynomial_plain), :at_most, 1.02}},
      {"instrumented", samples.polynomial_recorded, "ns",
       {Samples.ratio(samples.polynomial_recorded, samples.polynomial_plain), nil, nil}}
    ]

    Bench.table(options, "The same: a dozen operations in one call, loop included", rows)
  end

  # -- A GenServer ------------------------------------------------------------------------------------------------------

  defp server(options) do
    Tape.start!()

    servers =
      for copy <- [:plain, :minimal, :recorded], into: %{} do
        {:ok, pid} = GenServer.start_link(Loops.copy(copy), 0)
        {copy, pid}
      end

    [plain, recorded] = for copy <- [:plain, :recorded], do: Loops.copy(copy)

    variants = [
      %{name: :plain, run: &Loops.ask(&1, servers.plain)},
      %{name: :minimal, run: &Loops.ask(&1, servers.minimal)},
      %{name: :balanced, run: &Loops.ask(&1, servers.recorded)},
      %{name: :by_plain, run: &Loops.ask_by(&1, plain, servers.plain)},
      %{name: :by_recorded, run: &Loops.ask_by(&1, recorded, servers.recorded)}
    ]

    rounds = Bench.size(options, 800, 4)
    batch = Bench.size(options, 300, 20)
    samples = Bench.isolated(fn -> Samples.in_turns(variants, rounds, batch, &Tape.drain/0) end)
    calls = (rounds + max(div(rounds, 10), 1)) * batch

    Bench.check!(GenServer.call(servers.minimal, :ask) == calls, "each call was answered by the server")
    Bench.check!(Tape.lost() == %{}, "nothing was lost, got #{inspect(Tape.lost())}")
    ratio = fn name, plain, aim -> {Samples.ratio(samples[name], samples[plain]), :at_most, aim} end

    Bench.table(options, "A round trip of GenServer.call, the state changed by each", [
      {"plain", samples.plain, "ns", nil},
      {"the server records its callbacks, :minimal", samples.minimal, "ns", ratio.(:minimal, :plain, 1.25)},
      {"the same, :balanced", samples.balanced, "ns", ratio.(:balanced, :plain, 1.25)},
      {"plain, by a function that calls", samples.by_plain, "ns", nil},
      {"server and caller recorded, the message too", samples.by_recorded, "ns",
       ratio.(:by_recorded, :by_plain, 1.25)}
    ])

    Enum.each(servers, fn {_copy, pid} -> GenServer.stop(pid) end)
  end

  # -- Memory -----------------------------------------------------------------------------------------------------------

  defp memory(options) do
    Tape.start!()
    deep = Bench.size(options, 10_000_000, 100_000)

    words =
      for copy <- [:plain, :recorded], into: %{} do
        module = Loops.copy(copy)
        task = Task.async(fn -> module.loop(deep, 0) end)
        {copy, Task.await(task, :infinity)}
      end

    # the stack of the recorded one holds the frame of its last call
    for what <- [:total_heap_size, :stack_size] do
      [plain, recorded] = for copy <- [:plain, :recorded], do: words[copy][what]
      Bench.check!(recorded <= 2 * plain + 1_000, "#{what}: #{plain} words plain, #{recorded} recorded")
    end

    Bench.figure(options, "A loop of #{Bench.number(deep)} tail calls, at its end: #{inspect(words)} words.")
  end
end

defmodule Bench.Instrument.Compile do
  @moduledoc false

  # What it takes to make an instrumented module from a beam, against what it took the compiler to make that beam.

  alias Bench.Samples
  alias ElixirScope.Instrument.{Engine, Plan}

  @erlang [:lists, :queue, :gb_trees, :orddict, :string, :dict, :proplists]

  # files of the library, under other names: its own modules are never instrumented
  @library ~w(error options config query instrument/plan instrument/transform/tail instrument/transform/effects instrument/form)

  def run(options, folder) do
    plans =
      for strategy <- [:minimal, :balanced, :full_trace] do
        {:ok, plan} = Plan.new(strategy: strategy)
        {strategy, plan}
      end

    Code.compiler_options(ignore_module_conflict: true)
    rounds = Bench.size(options, 7, 1)

    report(options, "Erlang: #{length(@erlang)} modules of stdlib", erlang(), plans, rounds)
    report(options, "Elixir: #{length(@library)} files of the library", elixir(folder), plans, rounds)
  end

  # {compile, beams}: compile gives the beams anew
  defp erlang do
    sources = for module <- @erlang, do: source(module)

    if Enum.all?(sources) do
      {"compile:file", fn -> for path <- sources, do: compile_erlang(path) end}
    else
      forms = for module <- @erlang, do: elem(abstract(module), 1)
      {"compile:forms, the source is not here", fn -> for forms <- forms, do: compile_forms(forms) end}
    end
  end

  defp source(module) do
    path = Path.join([:code.lib_dir(:stdlib), "src", "#{module}.erl"])
    if File.regular?(path), do: String.to_charlist(path)
  end

  defp compile_erlang(path) do
    {:ok, _module, beam} = :compile.file(path, [:binary, :debug_info, i: :code.lib_dir(:stdlib, :include)])
    beam
  end

  defp abstract(module) do
    {^module, beam, _path} = :code.get_object_code(module)
    ElixirScope.Instrument.Beam.read(beam)
  end

  defp compile_forms(%{forms: forms}) do
    {:ok, _module, beam} = :compile.noenv_forms(forms, [:binary, :debug_info])
    beam
  end

  defp elixir(folder) do
    files =
      for name <- @library do
        source = File.read!(Path.join([File.cwd!(), "lib/elixir_scope", name <> ".ex"]))
        path = Path.join(folder, String.replace(name, "/", "_") <> ".ex")
        File.write!(path, String.replace(source, "defmodule ElixirScope", "defmodule Bench.Copied"))
        path
      end

    {"Code.compile_file", fn -> for file <- files, {_module, beam} <- Code.compile_file(file), do: beam end}
  end

  defp report(options, title, {how, compile}, plans, rounds) do
    # once for warmth: modules of both compilers are loaded
    beams = compile.()

    for {strategy, plan} <- plans, beam <- beams do
      {:ok, made} = Engine.instrument(beam, plan)

      Bench.check!(
        made.functions != [] or strategy == :minimal or exports_nothing?(beam),
        "functions of #{made.module} are instrumented"
      )
    end

    samples =
      for round <- 1..rounds, name <- turned([:compile | Keyword.keys(plans)], round), reduce: %{} do
        samples ->
          work =
            if name == :compile,
              do: compile,
              else: fn -> Enum.each(beams, &Engine.instrument(&1, plans[name])) end

          :erlang.garbage_collect()
          {ns, _result} = Samples.timed(work)
          Map.update(samples, name, [ns / 1.0e6], &[ns / 1.0e6 | &1])
      end

    rows =
      for {strategy, _plan} <- plans do
        {"instrumented by #{inspect(strategy)}", samples[strategy], "ms",
         {Samples.ratio(samples[strategy], samples.compile), :at_most, 1.0}}
      end

    Bench.table(options, title, [{how, samples.compile, "ms", nil} | rows])
    least = Enum.min(samples.compile)

    ratios =
      for {strategy, _plan} <- plans, do: "#{strategy} #{Bench.number(Enum.min(samples[strategy]) / least)}"

    Bench.figure(options, "Least against least: #{Enum.join(ratios, ", ")}.")
  end

  defp turned(list, round) do
    {first, rest} = Enum.split(list, rem(round, length(list)))
    rest ++ first
  end

  defp exports_nothing?(beam) do
    {:ok, {_module, exports: exports}} = :beam_lib.chunks(beam, [:exports])
    Enum.all?(exports, fn {name, _} -> name in [:module_info, :__info__, :__struct__] end)
  end
end

options = Bench.open("Instrumentation: what it costs the code", part: :string)
Bench.Instrument.run(options)
