defmodule ElixirScope.Events do
  alias ElixirScope.Events

  @modules [
    Events.FunctionEntry,
    Events.FunctionExit,
    Events.UserEvent,
    Events.Span,
    Events.StateChange,
    Events.CallbackReply,
    Events.MessageSend,
    Events.MessageReceive,
    Events.ProcessSpawn,
    Events.ProcessExit,
    Events.ProcessLink,
    Events.ProcessUnlink,
    Events.ProcessRegister,
    Events.ProcessUnregister,
    Events.VariableAssignment,
    Events.ErrorEvent,
    Events.CrashDump,
    Events.PerformanceMetric,
    Events.GarbageCollection,
    Events.TelemetryEvent,
    Events.NodeEvent,
    Events.TraceControl,
    Events.DataLoss,
    Events.MessageTaken
  ]

  @kinds for module <- @modules, type <- module.__event__().types, do: {type, module}
  @types Keyword.keys(@kinds)

  @moduledoc """
  What can stand on the tape: a struct for each kind of event.

  The marks of `ElixirScope.Trace` record `:span_start`, `:span_stop`, `:user_event`, `:performance_metric` and
  `:variable_assignment`. Instrumented code (`ElixirScope.Instrument`) records `:function_entry` and `:function_exit`, of callbacks
  `:state_change` and `:callback_reply`, what it sends and starts as `:message_send` and `:process_spawn`, and variables as
  `:variable_assignment`. `:crash` is what the logger is told of a process that ends. `:data_loss` is told where events were lost. The other kinds are not recorded yet;
  `ElixirScope.Storage.EventStore` takes them all.

  All events carry the same header, then fields of their own:

  #{Events.Event.fields_doc()}

  A captured term that a budget cut carries a `ElixirScope.Truncated` where something is missing, a masked one a
  `ElixirScope.Redacted`.

      iex> ElixirScope.Events.module(:function_entry)
      {:ok, ElixirScope.Events.FunctionEntry}
      iex> %ElixirScope.Events.UserEvent{name: :cache_miss}.event_type
      :user_event

  ## Kinds

  #{Enum.map_join(@kinds, "\n", fn {type, module} -> "  * `#{inspect(type)}` - `#{inspect(module)}`" end)}
  """

  @typedoc "An event of any kind."
  @type t ::
          unquote(
            Enum.reduce(Enum.reverse(@modules), nil, fn
              module, nil -> quote(do: unquote(module).t())
              module, rest -> quote(do: unquote(module).t() | unquote(rest))
            end)
          )

  @typedoc "The name of a kind of event, as in the option `:event_type` of a query."
  @type type :: unquote(Enum.reduce(Enum.reverse(@types), &{:|, [], [&1, &2]}))

  @doc """
  The names of all kinds.

      iex> :data_loss in ElixirScope.Events.types()
      true
  """
  @spec types() :: [type, ...]
  def types, do: @types

  @doc """
  The struct of a kind.

      iex> ElixirScope.Events.module(:span_stop)
      {:ok, ElixirScope.Events.Span}
      iex> ElixirScope.Events.module(:no_such_kind)
      :error
  """
  @spec module(atom) :: {:ok, module} | :error
  def module(type), do: Keyword.fetch(@kinds, type)

  @doc """
  Whether a term is an event.

      iex> ElixirScope.Events.event?(%ElixirScope.Events.ProcessExit{exit_reason: :normal})
      true
      iex> ElixirScope.Events.event?(%{event_type: :process_exit})
      false
  """
  @spec event?(term) :: boolean
  def event?(%{__struct__: module, event_type: type}), do: @kinds[type] == module
  def event?(_other), do: false

  @doc """
  The fields of all events, headers first; those of the option `:where`.

      iex> :call_id in ElixirScope.Events.fields()
      true
  """
  @spec fields() :: [atom, ...]
  def fields,
    do: unquote(Enum.uniq(Events.Event.header() ++ Enum.flat_map(@modules, & &1.__event__().fields)))

  @doc false
  # Each kind with its struct and its own fields, for the native side.
  @spec kinds() :: [{type, module, [atom]}]
  def kinds,
    do: unquote(Macro.escape(for {type, module} <- @kinds, do: {type, module, module.__event__().fields}))
end
