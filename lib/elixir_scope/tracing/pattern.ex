defmodule ElixirScope.Tracing.Pattern do
  @moduledoc false

  # What the VM is told of one function, which can belong to several traces: it is told once, for all of them. What a trace does not want
  # of it, the native side leaves out.

  import Bitwise

  alias ElixirScope.Tracing.Functions

  @typedoc """
  What one trace wants of a function. `recorded` is false for one that only encloses what is recorded; `stop` are the calls that end
  the trace.
  """
  @type want :: %{
          number: 0..15,
          heads: Functions.heads(),
          ends: nil | :return | :exception,
          from: nil | :caller | :stack,
          stop: [{term, list}],
          recorded: boolean
        }

  @doc "The match spec for all who want a function; there is one at least."
  @spec clauses([want]) :: [tuple]
  def clauses(wants) do
    ends = ends(Enum.map(wants, & &1.ends))
    from = from(Enum.map(wants, & &1.from))
    [%{heads: heads} | _same] = Enum.filter(wants, & &1.recorded) ++ wants

    stops =
      for {{head, guards}, number} <- stops(wants) do
        {head, guards, [{:message, {{:es, number, from || nil}}} | ends]}
      end

    told = if from, do: [{:message, {{:es, false, from}}}], else: []
    heads = if heads == :any, do: [{:_, []}], else: heads
    stops ++ for {head, guards} <- heads, do: {head, guards, told ++ ends}
  end

  @doc "Whether one more trace can be told of a function beside these: all of them mean the same calls."
  @spec fits?([want], want) :: boolean
  def fits?(wants, want), do: Enum.all?(wants, &(&1.heads == want.heads))

  # `{:exception_trace}` tells of returns as well. The VM keeps a frame on the stack for either, so that a call is no tail call then.
  defp ends(all) do
    cond do
      :exception in all -> [{:exception_trace}]
      :return in all -> [{:return_trace}]
      true -> []
    end
  end

  defp from(all) do
    cond do
      :stack in all -> {:current_stacktrace}
      :caller in all -> {:caller_line}
      true -> nil
    end
  end

  # Traces that end with the same call, as bits.
  defp stops(wants) do
    all = for want <- wants, stop <- want.stop, do: {stop, 1 <<< want.number}

    all
    |> Enum.map(&elem(&1, 0))
    |> Enum.uniq()
    |> Enum.map(fn stop -> {stop, for({^stop, bit} <- all, reduce: 0, do: (bits -> bits ||| bit))} end)
  end
end
