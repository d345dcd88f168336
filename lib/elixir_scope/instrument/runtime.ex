defmodule ElixirScope.Instrument.Runtime do
  @moduledoc false

  # What instrumented code calls at the end of a call. A negative token says that its beginning was not recorded: then nothing is
  # to be done, at the cost of one comparison. It stands here and not in the instrumented code because each branch there
  # makes the compiler's work longer (a module with every function instrumented took 5.6 times as long as the plain one).

  import Kernel, except: [exit: 1]

  alias ElixirScope.{Native, Redacted}
  alias ElixirScope.Recorder.InUse

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

  # A token holds the depth of the call in these bits, and whether it is recorded.
  @depth_and_sampled 0x1FFFF

  @doc """
  Records that a call ends in a tail call with which the process leaves all of its calls: without it, those around this one
  would count as going on for ever.
  """
  @spec exit_all(Native.site(), Native.token()) :: :ok
  def exit_all(_site, token) when token < 0, do: :ok

  def exit_all(site, token) do
    Native.exit_tail(site, token)
    # the end of an outermost call that is not recorded
    Native.exit_tail(site, Bitwise.band(token, Bitwise.bnot(@depth_and_sampled)))
  end

  @doc "Records that a call was left by an exception, which goes on its way."
  @spec reraise(Native.site(), Native.token(), :error | :exit | :throw, term, Exception.stacktrace()) ::
          no_return
  def reraise(site, token, class, reason, stacktrace) do
    if token >= 0, do: Native.exit_error(site, token, class, reason, masked(stacktrace, site))
    :erlang.raise(class, reason, stacktrace)
  end

  # The frame of a function that no clause took, or of one written in C, holds its arguments. Those of the function at hand are
  # masked by their names. What those of another one are called nobody knows here, so that they become a number, as in all
  # frames below.
  defp masked([{_module, _name, args, _where} | _] = stacktrace, site) when is_list(args) do
    case InUse.config() do
      %{capture: %{redact: redact}} when redact != false -> masked(stacktrace, site, redact)
      _no_masks -> stacktrace
    end
  end

  defp masked(stacktrace, _site), do: stacktrace

  defp masked([{module, name, args, where} | below], site, redact) when is_list(args) do
    args =
      case site do
        {_id, {^module, ^name, arity, _file, _line, _clause, names, _role}} when length(args) == arity ->
          masked_args(args, names, redact)

        _other ->
          length(args)
      end

    [{module, name, args, where} | masked(below, site, redact)]
  end

  defp masked([frame | below], site, redact), do: [frame | masked(below, site, redact)]
  defp masked([], _site, _redact), do: []

  defp masked_args([arg | args], [name | names], redact),
    do: [if(masked?(name, redact), do: %Redacted{}, else: arg) | masked_args(args, names, redact)]

  defp masked_args(args, [], _redact), do: args

  defp masked?(nil, _redact), do: false
  defp masked?(name, {:only, keys}), do: not masked?(name, keys)
  defp masked?(name, keys), do: :lists.member(name, keys) or :lists.member(:erlang.atom_to_binary(name), keys)

  @doc "Raises on, where nothing is recorded."
  @spec reraise(:error | :exit | :throw, term, Exception.stacktrace()) :: no_return
  def reraise(class, reason, stacktrace), do: :erlang.raise(class, reason, stacktrace)

  @doc "Records a call that no clause matches, from the function itself, which raises then."
  @spec unmatched(Native.site(), [term], boolean) :: :ok
  def unmatched(site, args, args?) do
    token = if args?, do: Native.enter_n(site, args), else: Native.enter_0(site)

    if token >= 0,
      do: Native.exit_error(site, token, :error, :function_clause, args |> unmatched_stack() |> masked(site))

    :ok
  end

  # As it will be, with the arguments in the place of their number.
  defp unmatched_stack(args) do
    {:current_stacktrace, stack} = :erlang.process_info(self(), :current_stacktrace)

    case without_ours(stack) do
      [{module, function, _arity, where} | callers] -> [{module, function, args, where} | callers]
      [] -> []
    end
  end

  # No function of `Enum`, which may be instrumented itself.
  defp without_ours([{module, _function, _arity, _where} | stack]) when module in [__MODULE__, :erlang],
    do: without_ours(stack)

  defp without_ours(stack), do: stack

  @doc """
  A stack trace without the frame that a tail call would not have left. `here` is the stack of the function that has caught
  the exception: its own frame, and those of its callers. Both may be cut at the emulator's `backtrace_depth`.
  """
  @spec without_frame(
          Exception.stacktrace(),
          {:current_stacktrace, Exception.stacktrace()},
          module,
          atom,
          arity
        ) :: Exception.stacktrace()
  def without_frame([top | below] = stacktrace, {:current_stacktrace, [_own | callers]}, module, name, arity) do
    function = {module, name, arity}

    # Where neither was cut, the callers are exactly what stands below the frame.
    case split(below, [top], callers, function, &equal/2) ||
           split(below, [top], callers, function, &overlap/2) do
      {above, known} -> :lists.sublist(:lists.reverse(above, known), length(stacktrace))
      nil -> stacktrace
    end
  end

  def without_frame(stacktrace, _here, _module, _name, _arity), do: stacktrace

  # What stands above the frame, the newest last, and the callers as far as one of the two traces tells them. A frame that is on
  # top is no call's.
  defp split(
         [{module, name, arity, _where} = frame | below],
         above,
         callers,
         {module, name, arity} = function,
         same
       ) do
    case same.(below, callers) do
      {:ok, known} -> {above, known}
      :error -> split(below, [frame | above], callers, function, same)
    end
  end

  defp split([frame | below], above, callers, function, same),
    do: split(below, [frame | above], callers, function, same)

  defp split([], _above, _callers, _function, _same), do: nil

  defp equal(frames, frames), do: {:ok, frames}
  defp equal(_one, _other), do: :error

  # The longer one of two, if the other one is how it begins.
  defp overlap(one, other), do: if(begins?(one, other), do: {:ok, longer(one, other)}, else: :error)

  defp begins?([frame | one], [frame | other]), do: begins?(one, other)
  defp begins?([], _other), do: true
  defp begins?(_one, []), do: true
  defp begins?(_one, _other), do: false

  defp longer(one, other), do: if(length(one) > length(other), do: one, else: other)
end
