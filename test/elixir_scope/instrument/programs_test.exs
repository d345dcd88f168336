defmodule ElixirScope.Instrument.ProgramsTest do
  use ExUnit.Case, async: true

  alias ElixirScope.Test.{OtherPrograms, Stage}

  # Each runs twice in a node of its own: as it is, and with every function of the modules recorded.
  @moduletag timeout: 300_000

  test "mnesia: concurrent transactions, aborts, a dump, a backup and a restart" do
    check(OtherPrograms.modules_of(:mnesia), OtherPrograms.mnesia(), 50_000)
  end

  test "inets: a web server and its client" do
    check(OtherPrograms.modules_of(:inets) <> " -- [:ftp_response]", OtherPrograms.inets(), 1_000)
  end

  test "ExUnit running a suite" do
    check(OtherPrograms.modules_of(:ex_unit), OtherPrograms.ex_unit(), 1_000)
  end

  test "Mix compiling a project, again after a change, and with an error" do
    check(OtherPrograms.modules_of(:mix), OtherPrograms.mix(), 1_000)
  end

  test "EEx" do
    check(OtherPrograms.modules_of(:eex), OtherPrograms.eex(), 500)
  end

  test "gen_statem" do
    check("[:gen_statem, :gen, :proc_lib, :sys]", OtherPrograms.gen_statem(), 50)
  end

  @terms "[0, 1, 2, 5, -1, :a, :b, nil, true, [], [1, 2, 3], [3, 1, 2], [b: 1, a: 2], [{1, 2}], {}, {:a, 1}, {2000, 2, 29}, %{}, %{1 => :a, 2 => :b}, 1..3, \"abc\", \"Füße\", \"\", ~c\"abc\", 1.5, &(&1), &{&1, &2}, &(&1 == &2), fn a, b, c -> {a, b, c} end, fn _ -> true end, ~D[2024-02-29], ~T[10:11:12], ~N[2024-02-29 10:11:12], MapSet.new([1, 2])"

  test "lists, queues, trees, sets and strings of OTP" do
    modules = "[:lists, :queue, :gb_trees, :gb_sets, :orddict, :ordsets, :sets, :proplists, :string]"

    more =
      ", :queue.from_list([1, 2]), :gb_trees.from_orddict([{1, 2}]), :gb_sets.from_list([1]), :sets.from_list([1])]"

    check_calls(modules, @terms <> more)
  end

  test "collections, strings and calendars of Elixir" do
    modules =
      "[Enum, Map, Keyword, List, Tuple, MapSet, Range, String, Calendar.ISO, Date, Time, NaiveDateTime]"

    check_calls(modules, @terms <> ", :second, Calendar.ISO]")
  end

  # Some of these calls never end: they are given up, and not compared.
  defp check_calls(modules, arguments) do
    {plain, recorded, count} = OtherPrograms.both(modules, OtherPrograms.calls(modules, arguments))
    assert length(plain) == length(recorded)
    assert count > length(plain)

    differing =
      for {{_, _, _, told} = one, {_, _, _, again} = other} <- Enum.zip(plain, recorded),
          told != nil and again != nil,
          not Stage.same?(Stage.normal(comparable(one)), Stage.normal(comparable(other))),
          do: {one, other}

    assert differing == []
    assert Enum.count(plain, fn {_, _, _, told} -> told == nil end) < length(plain) / 20
  end

  # From OTP 26 on the compiler may give the error of a call that no clause takes the line of what follows: see the guide.
  defp comparable({module, name, args, {:error, :function_clause, [{m, f, a, where} | below]}} = whole) do
    if String.to_integer(System.otp_release()) >= 26 and Keyword.keyword?(where),
      do: {module, name, args, {:error, :function_clause, [{m, f, a, Keyword.delete(where, :line)} | below]}},
      else: whole
  end

  defp comparable(other), do: other

  defp check(modules, script, events) do
    {plain, recorded, count} = OtherPrograms.both(modules, script)
    assert plain == recorded
    assert count > events
  end
end
