# Loads what the benchmarks share; nothing of it is compiled into the library.
{:ok, _modules, _warnings} =
  ~w(bench.ex samples.ex machine.ex tape.ex subjects.ex noop_tracer.ex)
  |> Enum.map(&Path.join(__DIR__, &1))
  |> Kernel.ParallelCompiler.require()
