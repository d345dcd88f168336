# PropEr on properties that hold, and on some that it shrinks to their smallest counterexample.
run = fn ->
  types = :proper_types
  list = types.list(types.integer())
  nothing = fn _format, _args -> :ok end
  check = fn property -> :proper.counterexample(property, numtests: 200, on_output: nothing) end

  {
    check.(:proper.forall(list, fn l -> :lists.reverse(:lists.reverse(l)) == l end)),
    check.(:proper.forall(list, fn l -> Enum.all?(l, &(&1 < 5)) end)),
    check.(:proper.forall(types.integer(0, 1000), fn n -> n < 3 end)),
    caught.(fn -> check.(:proper.forall(:no_type_of_ours, fn _ -> false end)) end),
    length(elem(:proper_gen.pick(types.vector(5, types.integer())), 1))
  }
end

%{apps: [:proper], run: run}
