defmodule ElixirScope.Tracing.BadInputTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.Error
  alias ElixirScopeTest.Traced

  defp option(target, opts) do
    assert {:error, %Error{reason: {:invalid_option, key, _value, expected}} = error} =
             ElixirScope.trace(target, opts)

    assert Exception.message(error) =~ expected
    {key, expected}
  end

  describe "trace/2" do
    test "says which target there is none of" do
      dead = spawn(fn -> :ok end)
      until(fn -> not Process.alive?(dead) end)
      assert {:error, %Error{reason: {:no_process, ^dead}}} = ElixirScope.trace(dead)
      assert {:error, %Error{reason: {:no_process, ^dead}}} = ElixirScope.trace([self(), dead])
      assert {:error, %Error{reason: {:no_process, :nobody_here}}} = ElixirScope.trace(:nobody_here)
      assert {:error, %Error{reason: {:no_process, {:app, :no_app}}}} = ElixirScope.trace({:app, :no_app})
      assert {:error, %Error{reason: {:no_process, :no_sup}}} = ElixirScope.trace({:tree, :no_sup})
      assert {:error, %Error{reason: {:unknown_module, NoModule}}} = ElixirScope.trace({:module, NoModule})

      assert {:error, %Error{reason: {:unknown_function, Traced, {:one, 9}}}} =
               ElixirScope.trace({Traced, :one, 9})

      assert {:error, %Error{reason: {:unknown_function, Traced, :no}}} = ElixirScope.trace({Traced, :no, :_})
      assert {:error, {:remote, :far@away}} = ElixirScope.trace({:name, :far@away})
    end

    test "says what a target can be" do
      for target <- [
            nil,
            [],
            [self() | :x],
            7,
            "name",
            %{},
            {:module, "x"},
            [self(), {Traced, :one, 1}],
            {Traced, :one, -1}
          ] do
        assert {key, _expected} = option(target, [])
        assert key in [:target, :functions]
      end
    end

    test "says which options do not go together" do
      functions = [{Traced, :one, 1}]

      assert {:events, "events without calls, or the option :functions" <> _} =
               option(self(), events: [:call])

      assert {:events, "some of :call" <> _} = option(self(), functions: functions, events: [:send])
      assert {:events, "only :call" <> _} = option({Traced, :one, 1}, events: [:call, :send])
      assert {:functions, "no functions" <> _} = option({Traced, :one, 1}, functions: functions)
      assert {:follow, "it with :send" <> _} = option(self(), events: [:receive], follow: :message)
      assert {:follow, "nobody to be followed" <> _} = option(:all, follow: :spawn)
      assert {:stop_when, "it with functions" <> _} = option(self(), stop_when: [{[:_], [], []}])
    end

    test "says which value of an option is wrong" do
      assert {:events, _} = option(self(), events: [])
      assert {:events, _} = option(self(), events: [:sends])
      assert {:events, _} = option(self(), events: :send)
      assert {:functions, _} = option(self(), functions: {Traced, :one, 1})
      assert {:functions, _} = option(self(), functions: [Traced])
      assert {:only_inside, _} = option(self(), only_inside: Traced)
      assert {:follow, _} = option(self(), follow: :links)
      assert {:stop_when, _} = option({Traced, :one, 1}, stop_when: :now)
      assert {:limit, _} = option(self(), limit: 5)
      assert {:opts, _} = option(self(), :opts)
    end

    test "says what is wrong with a match spec" do
      for {spec, why} <- [
            {[{[:"$1"], [{:no_guard, :"$1"}], []}], "no_guard/1 does_not_exist"},
            {[{[:_, :_], [], []}], "does not have 1 elements"},
            {[{[:_], []}], "is no {head, guards, body}"},
            {[], "no list of {head, guards, body}"},
            {[{[:_], [], []} | :x], "no list of {head, guards, body}"},
            {[{[:_], [], [{:enable_trace, :send}]}], "has actions"}
          ] do
        assert {:error, %Error{reason: {:bad_match_spec, ^spec}} = error} =
                 ElixirScope.trace({Traced, :one, 1, spec})

        assert Exception.message(error) =~ why
        assert Exception.message(error) =~ "ElixirScopeTest.Traced.one/1"
        assert {:error, %Error{reason: _}} = ElixirScope.trace({Traced, :one, 1}, stop_when: spec)
      end
    end

    test "leaves nothing behind when it fails" do
      assert {:error, _} = ElixirScope.trace([self(), spawn(fn -> :ok end)])
      assert {:error, _} = ElixirScope.trace({Traced, :one, 1, [{[:_], [], [{:silent, true}]}]})
      ElixirScope.Test.Traces.assert_nothing_left()
      assert ElixirScope.status().traces == []
    end
  end

  describe "untrace/1" do
    test "says what it takes" do
      assert {:error, %Error{reason: {:invalid_option, :ref, :some, _}}} = ElixirScope.untrace(:some)
      assert ElixirScope.untrace(make_ref()) == :ok
      assert ElixirScope.untrace(:all) == :ok
    end
  end

  @tag recorder: false
  test "nothing runs without a recorder" do
    assert ElixirScope.trace(self()) == {:error, :not_running}
    assert ElixirScope.untrace(:all) == {:error, :not_running}
  end
end
