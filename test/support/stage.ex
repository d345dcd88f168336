defmodule ElixirScope.Test.Stage do
  @moduledoc """
  Where random programs play: what they call besides themselves, and all that can be seen of them from outside.
  """

  @timeout_ms 20_000
  @max_words 20_000_000

  # -- For the programs -----------------------------------------------------------------------------------------------------

  @doc "A small integer, whatever comes; the same for all processes, references and functions."
  def int(value) when is_integer(value), do: rem(abs(value), 10)
  def int(value) when is_float(value), do: trunc(abs(value)) |> rem(10)
  def int(value) when is_list(value), do: 2
  def int(value) when is_tuple(value), do: tuple_size(value)
  def int(value) when is_map(value), do: map_size(value)
  def int(value) when is_binary(value), do: byte_size(value)
  def int(_value), do: 4

  @doc "The one who hears what is sent: none but the process itself where there is none."
  def listener, do: Process.get(:listener, self())

  @doc "What it is given: hides from a compiler what that is."
  def this(value), do: value

  @doc "A call that is not the last thing done."
  def call(fun, arg), do: [fun.(arg)]

  @doc "A call that is."
  def apply(fun, args), do: Kernel.apply(fun, args)

  # -- For the tests --------------------------------------------------------------------------------------------------------

  @doc """
  Each of the calls in a process of its own, caught and not caught: results, exceptions with their stack traces, messages,
  what is left in the mailbox and in the process dictionary. Processes and references are told by their order.
  """
  def play(module, calls),
    do: for({function, args} <- calls, do: {function, args, play_one(module, function, args)})

  defp play_one(module, function, args) do
    test = self()
    listener = spawn_link(fn -> listen([]) end)

    {pid, monitor} =
      :erlang.spawn_opt(
        fn ->
          Process.put(:listener, listener)
          send(test, {:played, self(), caught(module, function, args), Process.get(), mailbox()})
          Process.put(:listener, listener)
          Kernel.apply(module, function, args)
        end,
        [:monitor, max_heap_size: %{size: @max_words, kill: true, error_logger: false}]
      )

    seen =
      receive do
        {:played, ^pid, outcome, dictionary, mailbox} -> {{outcome, dictionary, mailbox}, ended(pid, monitor)}
        {:DOWN, ^monitor, :process, ^pid, reason} -> {:died, reason}
      after
        @timeout_ms -> {:timeout, Process.info(pid, :current_stacktrace)}
      end

    Process.exit(pid, :kill)
    send(listener, {:tell, self()})

    heard =
      receive do
        {:heard, ^listener, messages} -> messages
      end

    normal({seen, heard})
  end

  defp ended(pid, monitor) do
    receive do
      {:DOWN, ^monitor, :process, ^pid, reason} -> reason
    after
      @timeout_ms -> :timeout
    end
  end

  defp caught(module, function, args) do
    {:value, Kernel.apply(module, function, args)}
  catch
    class, reason -> {class, reason, __STACKTRACE__}
  end

  defp mailbox do
    receive do
      message -> [message | mailbox()]
    after
      0 -> []
    end
  end

  defp listen(messages) do
    receive do
      {:tell, to} -> send(to, {:heard, self(), Enum.reverse(messages)})
      message -> listen([message | messages])
    end
  end

  @doc "A term with what differs from run to run replaced by when it was first seen."
  def normal(term) do
    {term, _seen} = normal(term, %{})
    term
  end

  defp normal(term, seen) when is_pid(term) or is_reference(term) or is_port(term) do
    seen = Map.put_new(seen, term, map_size(seen))
    {{:"number of", seen[term]}, seen}
  end

  defp normal(term, seen) when is_function(term) do
    info = :erlang.fun_info(term)
    {env, seen} = normal(info[:env], seen)
    {{:function, info[:module], numberless(info[:name]), info[:arity], env}, seen}
  end

  # An anonymous function's frame.
  defp normal({module, name, args, where}, seen) when is_atom(name) and is_list(where) do
    {args, seen} = normal(args, seen)
    {where, seen} = normal(where, seen)
    {{module, numberless(name), args, where}, seen}
  end

  defp normal([_ | _] = list, seen), do: normal_list(list, seen)

  defp normal(term, seen) when is_tuple(term) do
    {list, seen} = normal(Tuple.to_list(term), seen)
    {List.to_tuple(list), seen}
  end

  defp normal(term, seen) when is_map(term) do
    {list, seen} = normal(Enum.sort(Map.to_list(term)), seen)
    {{:map, list}, seen}
  end

  # The text of a function tells its index and its module's unique number.
  defp normal(term, seen) when is_binary(term),
    do: {Regex.replace(~r/#Function<\d+\.\d+\//, term, "#Function<"), seen}

  defp normal(term, seen), do: {term, seen}

  # Which number the compiler gives to a function that it makes (`-f/1-fun-0-`) is its own affair.
  defp numberless(name) do
    case Atom.to_string(name) do
      "-" <> _ = made -> Regex.replace(~r/\d+-$|(?<=\$\^)\d+/, made, "")
      _name -> name
    end
  end

  defp normal_list([head | tail], seen) do
    {head, seen} = normal(head, seen)
    {tail, seen} = normal(tail, seen)
    {[head | tail], seen}
  end

  @doc """
  Whether what was seen of an instrumented program is what was seen of the plain one.

  Stack traces may differ in three things (see the guide): a fun that was made part of its function calls a stub where none of
  its clauses match, which may be a tail call; what stands behind `after` may be made a function; and an exception that was
  raised anew with another class or reason forgets the place of a function clause error, which instrumented code still knows.
  """
  def same?(plain, instrumented), do: equal?(without_stubs(plain), without_stubs(instrumented))

  defp without_stubs([{module, name, _args, where} = made, {module, function, arity, _} | rest] = list)
       when is_binary(name) and is_atom(function) and is_integer(arity) do
    cond do
      String.starts_with?(name, "-#{function}/#{arity}-inlined-") ->
        without_stubs([made | rest])

      String.starts_with?(name, "-#{function}/#{arity}-after$") ->
        without_stubs([{module, function, arity, where} | rest])

      true ->
        [made | without_stubs(tl(list))]
    end
  end

  defp without_stubs([head | tail]), do: [without_stubs(head) | without_stubs(tail)]

  defp without_stubs(tuple) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> Enum.map(&without_stubs/1) |> List.to_tuple()

  defp without_stubs(other), do: other

  defp equal?({m, f, args, []}, {m, f, args, [file: _, line: _]}) when is_list(args), do: true
  defp equal?([a | as], [b | bs]), do: equal?(a, b) and equal?(as, bs)

  defp equal?(a, b) when is_tuple(a) and is_tuple(b),
    do: tuple_size(a) == tuple_size(b) and equal?(Tuple.to_list(a), Tuple.to_list(b))

  defp equal?(a, b), do: a === b
end
