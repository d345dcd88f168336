defmodule ElixirScope.Instrument.Runtime do
  @moduledoc false

  # What instrumented code calls besides `ElixirScope.Native`: only where something was raised.

  alias ElixirScope.Native

  @doc "Records that a call was left by an exception, which goes on its way."
  @spec reraise(Native.site(), Native.token(), :error | :exit | :throw, term, Exception.stacktrace()) ::
          no_return
  def reraise(site, token, class, reason, stacktrace) do
    if token >= 0, do: Native.exit_error(site, token, class, reason, stacktrace)
    :erlang.raise(class, reason, stacktrace)
  end

  @doc """
  A stack trace without the frame that a tail call would not have left: the outermost one of the function.
  """
  @spec without_frame(Exception.stacktrace(), module, atom, arity) :: Exception.stacktrace()
  def without_frame(stacktrace, module, function, arity) do
    case stacktrace |> :lists.reverse() |> take(module, function, arity) do
      nil -> stacktrace
      rest -> :lists.reverse(rest)
    end
  end

  defp take([{module, function, arity, _where} | rest], module, function, arity), do: rest

  defp take([frame | rest], module, function, arity) do
    case take(rest, module, function, arity) do
      nil -> nil
      rest -> [frame | rest]
    end
  end

  defp take([], _module, _function, _arity), do: nil
end
