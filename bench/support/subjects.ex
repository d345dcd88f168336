defmodule Bench.Subjects do
  @moduledoc false

  # Modules to be instrumented: one source, compiled under as many names as there are variants, with its beams in a folder of the
  # code path, as the modules of an application are.

  @source ~S"""
  defmodule NAME do
    use GenServer

    def small(_count, kind, _name), do: kind
    def tail(_count, kind, _name), do: Bench.Subjects.give(kind)

    # without `use GenServer` this would be any function: the behaviour makes it a callback
    def init(state), do: {:ok, state}
    def handle_call(:ask, _from, state), do: {:reply, state, state + 1}
    def handle_cast(_message, state), do: {:noreply, state}

    def ask(server), do: GenServer.call(server, :ask)

    # arithmetic, a loop of a thousand turns in one call: what it takes is the code of the host and not of the recorder
    def sum(count, kind, name), do: if(turns(count, 1_000, 7) > 0, do: kind, else: name)

    defp turns(_count, 0, sum), do: sum

    defp turns(count, turn, sum),
      do: turns(count, turn - 1, rem(sum * 31 + turn * count, 65_521) + 1)

    def polynomial(x, kind, _name) when is_integer(x) do
      a = x * 3 + 1
      b = a * a - x
      c = rem(b, 4_099) * 7 + a
      d = c * c + b - 13
      e = rem(d, 65_521) + c * 5
      f = rem(e * e + d, 32_749)
      if f >= 0, do: kind, else: f
    end

    def loop(0, _total), do: Process.info(self(), [:total_heap_size, :stack_size])
    def loop(n, total), do: loop(n - 1, total + n)
  end
  """

  @spec give(term) :: term
  def give(term), do: term

  @doc "Compiles the source under each of the names."
  @spec compile!([module], Path.t()) :: :ok
  def compile!(modules, folder) do
    File.mkdir_p!(folder)
    Code.prepend_path(folder)

    for module <- modules do
      source = String.replace(@source, "NAME", inspect(module))
      file = Path.join(folder, "#{module}.ex")
      File.write!(file, source)
      [{^module, beam}] = Code.compile_string(source, file)
      :code.purge(module)
      :code.delete(module)
      File.write!(Path.join(folder, "#{module}.beam"), beam)
      {:module, ^module} = Code.ensure_loaded(module)
    end

    :ok
  end
end
