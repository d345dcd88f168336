defmodule ElixirScope.Instrument.Runtime do
  @moduledoc false

  # What instrumented code calls at the end of a call. A negative token says that its beginning was not recorded: then nothing is
  # to be done, at the cost of one comparison. It stands here and not in the instrumented code because each branch there
  # makes the compiler's work longer (a module with every function instrumented took 5.6 times as long as the plain one).

  import Kernel, except: [exit: 1]

  alias ElixirScope.Native

  @doc "Records the result of a call, and gives it back."
  @spec exit(Native.site(), Native.token(), result) :: result when result: term
  def exit(_site, token, result) when token < 0, do: result

  def exit(site, token, result) do
    Native.exit(site, token, result)
    result
  end

  @doc "Records the end of a call, and gives back its result."
  @spec exit_void(Native.site(), Native.token(), result) :: result when result: term
  def exit_void(_site, token, result) when token < 0, do: result

  def exit_void(site, token, result) do
    Native.exit_void(site, token)
    result
  end

  @doc "Records the result of a callback with a state, and gives it back."
  @spec exit_callback(Native.site(), Native.token(), result, term, term) :: result when result: term
  def exit_callback(_site, token, result, _old_state, _trigger) when token < 0, do: result

  def exit_callback(site, token, result, old_state, trigger) do
    Native.exit_callback(site, token, result, old_state, trigger)
    result
  end

  @doc "Records that a call ends in a tail call."
  @spec exit_tail(Native.site(), Native.token()) :: :ok
  def exit_tail(_site, token) when token < 0, do: :ok
  def exit_tail(site, token), do: Native.exit_tail(site, token)

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
