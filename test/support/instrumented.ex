defmodule ElixirScope.Test.Instrumented do
  @moduledoc "Modules of a test, compiled from text, run plain and then instrumented under the same name."

  alias ElixirScope.Instrument.{Engine, Plan}

  @doc "The beam of one Elixir module, with what a project's beams have."
  def beam(text) do
    before = Code.compiler_options()
    Code.compiler_options(docs: true, debug_info: true, ignore_module_conflict: true)

    try do
      [{module, beam}] = Code.compile_string(text, "instrumented.ex")
      unload(module)
      {module, beam}
    after
      Code.compiler_options(before)
    end
  end

  @doc "The instrumented one."
  def instrument(beam, options \\ [strategy: :full_trace]) do
    {:ok, plan} = Plan.new(options)
    {:ok, %{beam: instrumented}} = Engine.instrument(beam, plan)
    instrumented
  end

  def load(module, beam) do
    :code.purge(module)
    {:module, ^module} = :code.load_binary(module, ~c"instrumented.beam", beam)
    module
  end

  def unload(module) do
    :code.purge(module)
    :code.delete(module)
    :code.purge(module)
  end

  @doc "What `fun` gives with the plain module, and with the instrumented one, which stays loaded."
  def both({module, beam}, options \\ [strategy: :full_trace], fun) do
    plain = fun.(load(module, beam))
    {plain, fun.(load(module, instrument(beam, options)))}
  end

  @doc "Runs in a process of its own, and gives what that gave."
  def apart(fun), do: fun |> Task.async() |> Task.await(:infinity)
end
