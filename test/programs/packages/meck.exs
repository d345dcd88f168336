# Mocks of a module that is recorded, by a mocking library that is recorded too; after them the module is what it was.
run = fn ->
  Process.flag(:trap_exit, true)
  :ok = :meck.new(:getopt, [:passthrough])

  :ok =
    :meck.expect(:getopt, :parse, fn
      _specs, ~c"mocked" -> :mocked
      specs, line -> :meck.passthrough([specs, line])
    end)

  mocked = for line <- [~c"mocked", ~c"other"], do: caught.(fn -> :getopt.parse([], line) end)
  :ok = :meck.expect(:getopt, :tokenize, 1, :meck.seq([:a, :b, :meck.raise(:error, :third)]))
  sequence = for _ <- 1..3, do: caught.(fn -> :getopt.tokenize(~c"x") end)
  history = for call <- :meck.history(:getopt), do: {elem(call, 1), elem(call, 2)}

  counted =
    {:meck.num_calls(:getopt, :parse, :_), :meck.called(:getopt, :tokenize, [~c"x"]), :meck.validate(:getopt)}

  :ok = :meck.unload(:getopt)
  :ok = :meck.new(:no_module_of_ours, [:non_strict])
  :ok = :meck.expect(:no_module_of_ours, :f, fn x -> x + 1 end)

  made =
    {caught.(fn -> apply(:no_module_of_ours, :f, [1]) end),
     caught.(fn -> apply(:no_module_of_ours, :f, [:a]) end)}

  [:no_module_of_ours] = :meck.unload()

  {mocked, sequence, history, counted, made, :getopt.parse([], ~c"other"),
   caught.(fn -> :meck.new(:no_module_at_all) end)}
end

%{apps: [:meck, :getopt], run: run}
