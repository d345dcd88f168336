defmodule Shop.Print.Progress do
  @moduledoc "A progress bar: one line that is drawn again on a terminal, a line for each tenth elsewhere."

  alias Shop.Print.Unit

  @width 40
  @redraw_ms 100

  @doc "Runs `work` with a function that counts one step at each call."
  @spec watch(String.t(), pos_integer(), (fun() -> result)) :: result when result: var
  def watch(what, total, work) do
    done = :counters.new(1, [:write_concurrency])
    bar = %{what: what, total: total, done: done, tenth: 0, terminal?: terminal?()}
    painter = spawn_link(fn -> loop(bar) end)
    result = work.(fn -> :counters.add(done, 1, 1) end)
    finish(painter)
    result
  end

  defp terminal?, do: match?({:ok, _columns}, :io.columns())

  defp finish(painter) do
    monitor = Process.monitor(painter)
    send(painter, :finish)
    receive do: ({:DOWN, ^monitor, :process, _pid, _reason} -> :ok)
  end

  defp loop(bar) do
    receive do
      :finish ->
        draw(bar)
        if bar.terminal?, do: IO.puts("")
    after
      @redraw_ms -> bar |> draw() |> loop()
    end
  end

  defp draw(bar) do
    done = :counters.get(bar.done, 1)
    tenth = div(done * 10, bar.total)

    cond do
      bar.terminal? -> IO.write("\r  [#{cells(done, bar.total)}] #{figures(done, bar)}")
      tenth > bar.tenth -> IO.puts("  #{figures(done, bar)}")
      true -> :ok
    end

    %{bar | tenth: tenth}
  end

  defp cells(done, total) do
    full = div(done * @width, total)
    String.duplicate("#", full) <> String.duplicate(" ", @width - full)
  end

  defp figures(done, bar), do: "#{Unit.count(done)} of #{Unit.count(bar.total)} #{bar.what}"
end
