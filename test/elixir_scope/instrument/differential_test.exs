defmodule ElixirScope.Instrument.DifferentialTest do
  use ElixirScope.Test.RecorderCase

  import ElixirScope.Test.Generate, only: [one_of: 1]

  alias ElixirScope.Instrument.{Engine, Plan}
  alias ElixirScope.Test.{ElixirSource, ErlangSource, Stage}

  # How many modules; a long run sets it to some thousands.
  @modules String.to_integer(System.get_env("ELIXIR_SCOPE_PROGRAMS", "60"))

  # The same programs in every run: of random ones some show a difference that the guide lists, and a person has to tell. A long run
  # takes other seeds.
  @seed String.to_integer(System.get_env("ELIXIR_SCOPE_SEED", "1"))

  # What the recorder does meanwhile.
  @states [:off, :on, :paused, :without_raw_terms]

  @plans [
    [strategy: :full_trace],
    [strategy: :full_trace, args: false, returns: false],
    [strategy: :full_trace, messages: false],
    [functions: :all, locals: true],
    [strategy: :balanced, state: false]
  ]

  @values [0, 1, 7, -3, :a, :ok, [], {:ok, 1}, [1, 2, 3], "abc", ~c"ab", 2.5, %{a: 1}, {:r, :a, 2}] ++
            [{{:ok, 1}, [:a]}, [[1], 2], <<5::3>>]

  @moduletag capture_log: true
  @moduletag recorder: false
  @moduletag timeout: :infinity

  test "random Erlang modules do the same with and without instrumentation" do
    compare(ErlangSource, &ErlangSource.compile/2)
  end

  test "random Elixir modules do the same with and without instrumentation" do
    compare(ElixirSource, &ElixirSource.compile/2)
  end

  # Programs are numbered, so that one can be had again: seed and number make it.
  defp compare(language, compile) do
    [first, second] = for part <- 0..1, do: Enum.take_every(part..(@modules - 1), 2)

    # a module's name is taken by one program at a time
    [first, second]
    |> Task.async_stream(fn numbers -> Enum.flat_map(numbers, &prepared(&1, language, compile)) end,
      timeout: :infinity
    )
    |> Enum.flat_map(fn {:ok, programs} -> programs end)
    |> play_in_all_states(compile)
  end

  defp prepared(number, language, compile) do
    :rand.seed(:exsss, {@seed, number, 3})
    name = "scope_program_#{number}"
    {text, functions} = language.module(name)
    calls = for {function, arity} <- functions, fuel <- [3, 2], do: {function, args(fuel, arity)}

    # what the compiler itself refuses, as a call of a function that is not there, is no program
    case compile.(text, []) do
      {:ok, beam} ->
        module = language.module_name(name)
        options = one_of(@plans)
        {:ok, %{beam: instrumented}} = instrument(beam, options, {number, text})

        [
          %{
            number: number,
            text: text,
            module: module,
            calls: calls,
            options: options,
            plain: play(module, beam, calls),
            beam: instrumented
          }
        ]

      {:error, _errors} ->
        []
    end
  end

  defp args(fuel, arity), do: [fuel | for(_ <- 2..arity//1, do: one_of(@values))]

  defp instrument(beam, options, where) do
    {:ok, plan} = Plan.new(options)

    with {:error, reason} <- Engine.instrument(beam, plan),
         do: flunk("#{inspect(reason)} of program #{told(where)}")
  end

  defp play(module, beam, calls) do
    :code.purge(module)
    {:module, ^module} = :code.load_binary(module, ~c"#{module}.beam", beam)
    seen = Stage.play(module, calls)
    :code.delete(module)
    :code.purge(module)
    seen
  end

  defp play_in_all_states(programs, compile) do
    assert length(programs) > @modules / 2

    for state <- @states do
      enter(state)

      programs
      |> Task.async_stream(&check(&1, state, compile), timeout: :infinity)
      |> Stream.run()

      if state in [:on, :without_raw_terms], do: assert(ElixirScope.count_events() > length(programs))
      assert match?(%{faults: %{panics: 0}}, ElixirScope.status()) or state == :off
      ElixirScope.stop()
    end
  end

  defp enter(:off), do: :ok
  defp enter(:on), do: :ok = ElixirScope.start()
  defp enter(:without_raw_terms), do: :ok = ElixirScope.start(capture: [raw_terms: false])

  defp enter(:paused) do
    :ok = ElixirScope.start()
    :ok = ElixirScope.pause()
  end

  defp check(program, state, compile) do
    seen = play(program.module, program.beam, program.calls)

    for {plain, instrumented} <- Enum.zip(program.plain, seen),
        not Stage.same?(plain, instrumented),
        not Stage.same?(inlined(plain), inlined(instrumented)),
        not same_unoptimised?(plain, instrumented, program, compile) do
      flunk("""
      recorder #{state}, plan #{inspect(program.options)}
      plain:        #{inspect(plain, limit: :infinity)}
      instrumented: #{inspect(instrumented, limit: :infinity)}
      program #{told({program.number, program.text})}
      """)
    end
  end

  # A fun that the compiler makes part of the function that it stands in has that one's frame, at the same line.
  defp inlined({module, name, args, where}) when is_binary(name) and is_list(where) do
    case Regex.run(~r/^-(.+)\/(\d+)-fun-$/, name) do
      [_all, function, arity] -> {module, String.to_atom(function), String.to_integer(arity), where}
      nil -> {module, name, inlined(args), where}
    end
  end

  defp inlined([head | tail]), do: [inlined(head) | inlined(tail)]
  defp inlined(term) when is_tuple(term), do: term |> Tuple.to_list() |> inlined() |> List.to_tuple()
  defp inlined(other), do: other

  # The compiler makes a tail call of a call that, as it finds out, never returns: the plain function is then missing in a stack
  # trace. Without that part of the compiler the two have to be the same.
  defp same_unoptimised?({function, args, _seen}, instrumented, program, compile) do
    {:ok, beam} = compile.(program.text, [:no_type_opt])
    [plain] = play(program.module, beam, [{function, args}])

    {:ok, %{beam: recorded}} = instrument(beam, program.options, {program.number, program.text})

    Stage.same?(plain, instrumented) or
      Stage.same?(plain, hd(play(program.module, recorded, [{function, args}])))
  end

  defp told({number, text}), do: "#{number} of seed #{@seed}:\n\n#{text}"
end
