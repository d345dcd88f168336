defmodule ElixirScope.Trace do
  @moduledoc """
  Marks in your own code: spans, events, measurements, and the variables of the moment.

  For what only the program knows: that a cache missed, how long a checkout took, what the variables were when the odd
  case came. Usable in any process without set-up. While the recorder is not running a mark costs one check, and its
  arguments are not evaluated, as with `Logger`. (Few variables and literals may be: nobody can tell, and it costs less than
  to look first. A map of them that is written out, `%{cart: id, total: total}`, is not even made.)

      require ElixirScope.Trace, as: Trace

      def checkout(cart) do
        Trace.span "checkout", %{cart: cart.id} do
          total = price(cart)
          Trace.snapshot()
          Trace.metric("checkout.total", total, unit: :cent)
          pay(cart, total)
        end
      end

  A mark is an expression that never fails by itself: whatever the terms are, they are recorded within the budgets of the
  configuration, or counted as lost.

      iex> require ElixirScope.Trace, as: Trace
      iex> Trace.event(:cache_miss, %{key: "ann"})
      :ok
      iex> Trace.span "sum", %{numbers: 3} do
      ...>   Enum.sum([1, 2, 3])
      ...> end
      6
  """

  alias ElixirScope.{Native, Site}
  alias ElixirScope.Trace.Eager

  @doc """
  Records the begin and the end of what the block does, and evaluates to what the block evaluates to.

  Calls and events inside the block belong to the span; the end says how long it took, and the `exit_reason`: `:normal`, or
  `{:error | :exit | :throw, reason, stacktrace}`. What the block raises, throws or exits with leaves the span unchanged,
  stack trace included.

  The block is evaluated exactly once, recorded or not; name and metadata only when the recorder runs. As with any
  `try`, variables bound inside are not seen outside, and the last call of the block is not a tail call.

      iex> require ElixirScope.Trace
      iex> ElixirScope.Trace.span "division" do
      ...>   div(7, 2)
      ...> end
      3
  """
  defmacro span(name, metadata \\ nil, block)

  defmacro span(name, metadata, do: block) do
    site = site(__CALLER__)

    quote generated: true do
      {token, name} =
        case Native.recording() do
          true ->
            name = unquote(name)
            {Native.span_start(unquote(site), name, unquote(metadata)), name}

          false ->
            {-1, nil}
        end

      result =
        try do
          unquote(block)
        catch
          class, reason ->
            stacktrace = __STACKTRACE__
            if token != -1, do: Native.span_stop(unquote(site), token, name, {class, reason, stacktrace})
            :erlang.raise(class, reason, stacktrace)
        end

      if token != -1, do: Native.span_stop(unquote(site), token, name, :normal)
      result
    end
  end

  defmacro span(_name, _metadata, other) do
    raise ArgumentError,
          "ElixirScope.Trace.span expects a name, optional metadata and a do block, got: " <>
            Macro.to_string(other)
  end

  @doc """
  Records that something happened: a name and whatever tells about it. Answers `:ok`.

  Both are evaluated only when the recorder runs.
  """
  defmacro event(name, data \\ nil) do
    site = site(__CALLER__)

    with {places, values} <- Eager.fields(data, __CALLER__), true <- Eager.cheap?([name], __CALLER__) do
      arguments = [site, name, Macro.escape(places) | values]
      quote generated: true, do: Native.event_map(unquote_splicing(arguments))
    else
      _ ->
        record = quote generated: true, do: Native.event(unquote(site), unquote(name), unquote(data))
        once_running(record, [name, data], __CALLER__)
    end
  end

  @doc """
  Records a measurement: a name and a value. Answers `:ok`.

    * `:unit` - what the value counts, such as `:count`, `:byte`, `:millisecond`
    * `:metadata` - whatever else tells about it

  All arguments are evaluated only when the recorder runs.

      iex> require ElixirScope.Trace
      iex> ElixirScope.Trace.metric("queue.depth", 17, unit: :count)
      :ok
  """
  defmacro metric(name, value, opts \\ []) do
    site = site(__CALLER__)

    case metric_options(opts) do
      {unit, metadata} ->
        arguments = [name, value, unit, metadata]
        record = quote generated: true, do: Native.metric(unquote_splicing([site | arguments]))
        once_running(record, arguments, __CALLER__)

      :at_run_time ->
        arguments = [site, name, value, opts]
        if_running(quote generated: true, do: ElixirScope.Trace.__metric__(unquote_splicing(arguments)))
    end
  end

  @doc """
  Records the local variables and their values, here and now. Answers `:ok`.

      iex> require ElixirScope.Trace
      iex> quantity = 3
      iex> ElixirScope.Trace.snapshot()
      :ok
      iex> quantity
      3
  """
  defmacro snapshot do
    site = site(__CALLER__)
    variables = for {name, nil} <- Macro.Env.vars(__CALLER__), do: {name, {name, [generated: true], nil}}

    bindings = {:%{}, [], variables}
    record = quote generated: true, do: Native.snapshot(unquote(site), unquote(bindings))
    once_running(record, [bindings], __CALLER__)
  end

  @doc false
  # Options that are known only at run time. A mark must not fail then, so what is no option is recorded as metadata.
  @spec __metric__(Site.t(), term, term, term) :: :ok
  def __metric__(site, name, value, opts) do
    case opts do
      [] -> Native.metric(site, name, value, nil, nil)
      [unit: unit] -> Native.metric(site, name, value, unit, nil)
      [metadata: metadata] -> Native.metric(site, name, value, nil, metadata)
      [unit: unit, metadata: metadata] -> Native.metric(site, name, value, unit, metadata)
      [metadata: metadata, unit: unit] -> Native.metric(site, name, value, unit, metadata)
      other -> Native.metric(site, name, value, nil, other)
    end
  end

  # A mark whose arguments are evaluated once it is known that the recorder runs, or at once where that makes no difference.
  defp once_running(record, arguments, caller),
    do: if(Eager.cheap?(arguments, caller), do: record, else: if_running(record))

  defp if_running(record) do
    quote generated: true do
      case Native.recording() do
        true -> unquote(record)
        false -> :ok
      end
    end
  end

  # The literal by which a mark tells where it stands.
  defp site(caller), do: caller |> Site.at() |> Macro.escape()

  # Options that are written out are checked when the code is compiled.
  defp metric_options(opts) do
    cond do
      not Keyword.keyword?(opts) ->
        :at_run_time

      Keyword.keys(opts) -- [:unit, :metadata] == [] ->
        {opts[:unit], opts[:metadata]}

      true ->
        raise ArgumentError,
              "ElixirScope.Trace.metric expects the options :unit and :metadata, got: " <>
                Macro.to_string(opts)
    end
  end
end
