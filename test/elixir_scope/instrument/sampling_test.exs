defmodule ElixirScope.Instrument.SamplingTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScopeTest.Specimen

  setup do
    on_exit(fn ->
      ElixirScope.start()
      ElixirScope.uninstrument(Specimen)
      ElixirScope.stop()
      :code.soft_purge(Specimen)
    end)
  end

  for path <- [:auto, false] do
    @tag recorder: [sampling_rate: 0.3, capture: [raw_terms: path]]
    test "an outermost call is recorded whole or not at all, also where it goes on by tail calls (#{path})" do
      :ok = ElixirScope.instrument(Specimen, strategy: :full_trace)
      for n <- 1..400, do: {Specimen.picky(:a), Specimen.count_down(rem(n, 5))}

      events = all_events(module: Specimen, event_type: :function_entry)
      by_function = Enum.frequencies_by(events, & &1.function)
      # picky/1 ends in a tail call of hidden/1
      assert by_function[:picky] == by_function[:hidden]
      assert by_function[:picky] in 60..180

      # each chain is there from its first call to its last
      chains = events |> Enum.filter(&(&1.function == :count_down)) |> Enum.chunk_by(& &1.correlation_id)
      assert length(chains) in 60..180

      for chain <- chains do
        [[first] | _] = arguments = Enum.map(chain, & &1.args)
        assert arguments == for(n <- first..0//-1, do: [n])
      end
    end
  end

  @tag recorder: [sampling_rate: 0.0]
  test "states and messages are recorded of calls that are not sampled" do
    :ok = ElixirScope.instrument(Specimen)
    {:ok, server} = Specimen.start_link(%{})
    :ok = Specimen.put(server, :cart, 7)
    assert all_events(event_type: [:function_entry, :function_exit]) == []
    assert [%{}, %{cart: 7}] = for(change <- all_events(event_type: :state_change), do: change.new_state)
    assert [%{message: {:put, :cart, 7}}] = all_events(event_type: :message_send)
  end
end
