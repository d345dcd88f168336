defmodule Bench do
  @moduledoc false

  # What every benchmark shares: its command line, what it ran on, the check of an answer, the printed table.

  alias Bench.{Machine, Samples}

  @type options :: %{smoke: boolean, given: keyword}

  @doc "Reads the command line, prints title and machine, and refuses a debug build of the library."
  @spec open(String.t(), keyword) :: options
  def open(title, switches \\ []) do
    {given, rest, invalid} = OptionParser.parse(System.argv(), strict: [smoke: :boolean] ++ switches)

    unless rest == [] and invalid == [] do
      known = for {name, type} <- [smoke: :boolean] ++ switches, do: "--#{name} (#{type})"
      wrong = rest ++ Enum.map(invalid, &elem(&1, 0))
      abort("#{title} does not know #{Enum.join(wrong, " ")}; it takes #{Enum.join(known, ", ")}")
    end

    smoke? = Keyword.get(given, :smoke, false)
    IO.puts("\n# #{title}#{if smoke?, do: " (smoke run: answers only, figures mean nothing)"}")
    Enum.each(Machine.describe(), fn {what, text} -> IO.puts("#{what}: #{text}") end)
    IO.puts("")
    %{smoke: smoke?, given: given}
  end

  @doc "The size for a full run or a smoke run."
  @spec size(options, full, smoke) :: full | smoke when full: term, smoke: term
  def size(%{smoke: true}, _full, smoke), do: smoke
  def size(%{smoke: false}, full, _smoke), do: full

  @doc "Ends the benchmark when an answer is wrong: a wrong answer has no speed."
  @spec check!(boolean, String.t()) :: :ok
  def check!(true, _what), do: :ok
  def check!(false, what), do: abort("wrong answer: #{what}")

  @spec abort(String.t()) :: no_return
  def abort(text) do
    IO.puts(:stderr, text)
    System.halt(1)
  end

  @doc """
  Runs `work` in a process of its own, whose heap of 512 KiB takes the garbage of a batch without a collection and fits the
  cache of a core, and gives back what it returns.
  """
  @spec isolated((() -> result)) :: result when result: var
  def isolated(work) do
    parent = self()
    tag = make_ref()
    options = [:link, :monitor, min_heap_size: 65_536]
    {pid, monitor} = :erlang.spawn_opt(fn -> send(parent, {tag, work.()}) end, options)

    receive do
      {^tag, result} ->
        Process.demonitor(monitor, [:flush])
        result

      {:DOWN, ^monitor, :process, ^pid, reason} ->
        abort("the measuring process ended: #{inspect(reason)}")
    end
  end

  @doc """
  Prints rows `{what, samples, unit, compare}`, where compare is nil, `{ratio, nil, nil}`, `{ratio, relation, aim}` with relation
  `:at_most` or `:at_least`, or `{nil, :p99, aim}` where it is the p99 that must not be above the aim. Nothing in a smoke
  run.
  """
  @spec table(options, String.t(), [tuple]) :: :ok
  def table(%{smoke: true}, title, _rows), do: IO.puts("#{title}: answers checked")

  def table(%{smoke: false}, title, rows) do
    IO.puts("\n#{title}\n")
    line(["", "min", "median", "p99", "ratio", "aim", "verdict"])
    IO.puts("| --- | --- | --- | --- | --- | --- | --- |")

    for {what, samples, unit, compare} <- rows do
      %{min: min, median: median, p99: p99} = Samples.summary(samples)
      numbers = for n <- [min, median, p99], do: "#{number(n)} #{unit}"
      line([what] ++ numbers ++ compared(compare, p99))
    end

    IO.puts("")
  end

  @doc "Prints a figure that is one number and not a distribution. Nothing in a smoke run."
  @spec figure(options, String.t()) :: :ok
  def figure(%{smoke: true}, _text), do: :ok
  def figure(%{smoke: false}, text), do: IO.puts(text)

  @doc "`12.3`, `1_234`: three digits that count."
  @spec number(number | :none) :: String.t()
  def number(:none), do: "none"
  def number(n) when is_integer(n), do: grouped(n)
  def number(n) when abs(n) >= 100, do: grouped(round(n))
  def number(n) when abs(n) >= 10, do: :erlang.float_to_binary(n * 1.0, decimals: 1)
  def number(n), do: :erlang.float_to_binary(n * 1.0, decimals: 2)

  @doc "Bytes as MiB."
  @spec mib(number) :: String.t()
  def mib(bytes), do: number(bytes / 1_048_576) <> " MiB"

  defp compared(nil, _p99), do: ["", "", ""]
  defp compared({ratio, nil, nil}, _p99), do: [number(ratio) <> " x", "", ""]

  defp compared({nil, :p99, aim}, p99), do: ["", "p99 <= #{aim}", verdict(p99 <= aim)]

  defp compared({ratio, :at_most, aim}, _p99),
    do: [number(ratio) <> " x", "<= #{aim} x", verdict(ratio <= aim)]

  defp compared({ratio, :at_least, aim}, _p99),
    do: [number(ratio) <> " x", ">= #{aim} x", verdict(ratio >= aim)]

  @doc "The word for an aim."
  @spec verdict(boolean) :: String.t()
  def verdict(true), do: "met"
  def verdict(false), do: "MISSED"

  defp line(cells), do: IO.puts("| " <> Enum.join(cells, " | ") <> " |")

  defp grouped(n) do
    n
    |> Integer.to_string()
    |> String.replace(~r/(?<=\d)(?=(\d{3})+$)/, "_")
  end
end
