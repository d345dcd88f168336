# Runs each program plain and with all that it consists of recorded, and tells in a line whether that made a difference:
# `mix run test/programs/compare.exs FOLDER [NAME...]`, FOLDER where their packages lie unpacked. See scripts/programs.
[folder | names] = System.argv()
here = Path.dirname(__ENV__.file)
files = Path.wildcard(Path.join(here, "*/*.exs"))
files = if names == [], do: files, else: Enum.filter(files, &(Path.basename(&1, ".exs") in names))

libraries = Path.wildcard(Path.join(folder, "usr/lib/**/ebin"))
own = Path.join(Application.app_dir(:elixir_scope), "ebin")

run = fn mode, file ->
  paths = Enum.flat_map([own | libraries], &["-pa", &1])
  name = "scope_#{System.pid()}_#{System.unique_integer([:positive])}"
  arguments = ["--sname", name] ++ paths ++ [Path.join(here, "child.exs"), mode, file]

  {output, status} =
    System.cmd("elixir", arguments, stderr_to_stdout: true, env: [{"SCOPE_PROGRAMS", folder}])

  with 0 <- status, [_, told] <- Regex.run(~r/^TOLD (.*)$/m, output) do
    {:ok, told |> Base.decode64!() |> :erlang.binary_to_term()}
  else
    _failed -> {:error, "status #{status}:\n#{output}"}
  end
end

# What to look at first where results differ.
difference = fn difference, path, a, b ->
  cond do
    a === b ->
      []

    is_tuple(a) and is_tuple(b) and tuple_size(a) == tuple_size(b) ->
      difference.(difference, path, Tuple.to_list(a), Tuple.to_list(b))

    is_list(a) and is_list(b) and List.improper?(a) == List.improper?(b) and length(a) == length(b) ->
      Enum.zip(a, b)
      |> Enum.with_index()
      |> Enum.flat_map(fn {{a, b}, i} -> difference.(difference, path ++ [i], a, b) end)

    true ->
      [{path, a, b}]
  end
end

seconds = fn us -> :erlang.float_to_binary(us / 1_000_000, decimals: 2) end

outcomes =
  for file <- files do
    name = Path.basename(file, ".exs")

    with {:ok, plain} <- run.("plain", file),
         {:ok, traced} <- run.("traced", file) do
      same? = ElixirScope.Test.Stage.same?(plain.result, traced.result)
      tape = traced.tape

      IO.puts(
        "#{name}: #{traced.modules - length(traced.refused)} of #{traced.modules} modules, #{tape.events} events, " <>
          "result #{if same?, do: "same", else: "DIFFERENT"}; #{tape.timelines.mismatches} states mismatched, " <>
          "#{tape.faults.panics} faults; #{seconds.(plain.run_us)} s plain, #{seconds.(traced.run_us)} s recorded, " <>
          "compiled in #{seconds.(plain.instrument_us)} s, instrumented in #{seconds.(traced.instrument_us)} s"
      )

      for {why, of} <- Enum.group_by(traced.refused, &elem(&1, 1), &elem(&1, 0)),
          do: IO.puts("  refused #{length(of)}: #{why}")

      if tape.checked, do: IO.puts("  " <> inspect(tape.checked, limit: 200, printable_limit: 500))

      if tape.lost != %{},
        do: IO.puts("  lost #{inspect(tape.lost)}, of which #{tape.losses_told} are told on the tape")

      unless same?,
        do:
          IO.inspect(Enum.take(difference.(difference, [], plain.result, traced.result), 5),
            label: "  plain and recorded",
            printable_limit: 500,
            limit: 80
          )

      same? and tape.timelines.mismatches == 0 and tape.faults.panics == 0
    else
      {:error, output} ->
        IO.puts("#{name}: FAILED, #{String.slice(output, -6_000..-1//1)}")
        false
    end
  end

System.halt(if Enum.all?(outcomes), do: 0, else: 1)
