# One program, in a node of its own: `elixir child.exs plain|traced FILE`. What it gives, and what is on the tape, as a term in
# one line. A program is a file whose value is a map: `apps:` and `modules:`, which are recorded, and `run:`, which gives a term.
alias ElixirScope.Test.Stage

[mode, file] = System.argv()
{:ok, _} = Application.ensure_all_started(:elixir_scope)
for id <- :logger.get_handler_ids(), do: :logger.remove_handler(id)

# What a call gives: its value, or its exception with the stack above the script.
caught = fn fun ->
  try do
    fun.()
  catch
    kind, reason -> {kind, reason, Enum.take_while(__STACKTRACE__, &(elem(&1, 0) != :erl_eval))}
  end
end

{program, _bindings} = Code.eval_string(File.read!(file), [caught: caught], file: file)

modules =
  Enum.uniq(
    Enum.flat_map(program[:apps] || [], fn app ->
      _already = Application.load(app)
      Application.spec(app, :modules) || raise "no application #{app}"
    end) ++ (program[:modules] || [])
  )

timed = fn fun ->
  began = System.monotonic_time(:microsecond)
  result = fun.()
  {System.monotonic_time(:microsecond) - began, result}
end

{instrument_us, refused} =
  timed.(fn ->
    if mode == "traced" do
      :ok =
        ElixirScope.start(
          strategy: :full_trace,
          capture: [total_bytes: 64 * 1024 * 1024, buffer_size: 200_000],
          storage: [memory_limit: 256 * 1024 * 1024],
          guard: [max_run_queue: 1_000, max_cpu_share: 1.0]
        )

      for module <- modules,
          {:error, reason} <- [ElixirScope.instrument(module, force: true)],
          do: {module, if(is_exception(reason), do: Exception.message(reason), else: inspect(reason))}
    else
      # by this compiler, as the recorded ones are: theirs may have been another one
      for module <- modules,
          path = :code.which(module),
          {:ok, beam} <- [ElixirScope.Instrument.Beam.read(File.read!(path))],
          {:ok, binary} = ElixirScope.Instrument.Beam.build(beam, beam.forms),
          do: :ok = ElixirScope.Instrument.Loader.load(module, path, binary)

      []
    end
  end)

{run_us, result} = timed.(program.run)

tape =
  if mode == "traced" do
    ElixirScope.pause()
    # what stands in rings is on the tape when a query is answered
    losses = ElixirScope.get_events(event_type: :data_loss, limit: :infinity)
    status = ElixirScope.status()

    %{
      events: status.capture.events,
      lost: status.capture[:lost],
      losses_told: Enum.sum(Enum.map(losses, & &1.count)),
      store: status.store,
      timelines: status.timelines,
      faults: status.faults,
      guard: status.guard,
      checked: if(program[:check], do: program.check.())
    }
  end

told = %{
  result: Stage.normal(result),
  modules: length(modules),
  refused: refused,
  instrument_us: instrument_us,
  run_us: run_us,
  tape: tape
}

IO.puts("\nTOLD " <> Base.encode64(:erlang.term_to_binary(told)))
System.halt(0)
