defmodule ElixirScope.Life.CrashLog do
  @moduledoc false

  # What OTP and Elixir tell the logger of processes that end and children that are started. Reports, not their text: as they come from
  # `proc_lib.erl`, `gen_server.erl`, `gen_statem.erl`, `supervisor.erl`, `task/supervised.ex`, `dynamic_supervisor.ex`, and from the emulator for what was
  # plainly spawned.

  @typedoc """
    * `{:held, pid, state}`: a server or state machine is about to end; `{:crashed, …}` follows from the same process
    * `{:crashed, pid, reason}`: a process ends, with the reason that those linked to it get
    * `{:lost, supervisor, child, reason}`: a child of a supervisor has ended
    * `{:started, supervisor, child}`: a supervisor has started a child
  """
  @type told ::
          {:held, pid, state :: term}
          | {:crashed, pid, reason :: term}
          | {:lost, supervisor :: pid, child, reason :: term}
          | {:started, supervisor :: pid, child}
          | nil

  @type child :: %{pid: pid, id: term, restarted: boolean}

  @spec read(:logger.log_event()) :: told
  # The reason that these have does not tell `exit(reason)` from an error, that of `proc_lib` does.
  def read(%{msg: {:report, %{label: {behaviour, :terminate}, state: state}}, meta: %{pid: pid}})
      when behaviour in [:gen_server, :gen_statem],
      do: {:held, pid, state}

  def read(%{msg: {:report, %{label: {:proc_lib, :crash}, report: [info | _linked]}}}) do
    with {:pid, pid} <- List.keyfind(info, :pid, 0),
         {:error_info, {class, reason, stack}} <- List.keyfind(info, :error_info, 0) do
      {:crashed, pid, exit_reason(class, reason, stack)}
    else
      _other -> nil
    end
  end

  # Since Elixir 1.15 the only one of a task; before, that of `proc_lib` follows, which knows how it ended.
  if Version.match?(System.version(), ">= 1.15.0-dev") do
    def read(%{msg: {:report, %{label: {Task.Supervisor, :terminating}, report: report}}, meta: %{pid: pid}}) do
      with %{reason: {value, stack}} when is_list(stack) <- report,
           do: {:crashed, pid, task_reason(value, stack)},
           else: (_ -> nil)
    end
  end

  def read(%{msg: {:report, %{label: {_supervisor, what}, report: report}}, meta: %{pid: supervisor}})
      when what in [:child_terminated, :shutdown_error] and is_list(report) do
    with {:offender, offender} <- List.keyfind(report, :offender, 0),
         {:reason, reason} <- List.keyfind(report, :reason, 0),
         %{} = child <- child(offender) do
      {:lost, supervisor, %{child | restarted: child.restarted and what == :child_terminated}, reason}
    else
      _other -> nil
    end
  end

  def read(%{msg: {:report, %{label: {_supervisor, :progress}, report: report}}, meta: %{pid: supervisor}})
      when is_list(report) do
    with {:started, started} <- List.keyfind(report, :started, 0),
         %{} = child <- child(started) do
      {:started, supervisor, child}
    else
      _other -> nil
    end
  end

  def read(%{msg: {format, [pid | more]}, meta: %{error_logger: %{emulator: true}}})
      when is_list(format) and is_pid(pid) do
    case List.last(more) do
      {_reason, stack} = reason when is_list(stack) -> {:crashed, pid, reason}
      _other -> nil
    end
  end

  def read(_other), do: nil

  defp child(info) do
    with {:pid, pid} when is_pid(pid) <- List.keyfind(info, :pid, 0) do
      id =
        case List.keyfind(info, :id, 0) || List.keyfind(info, :name, 0) do
          {_key, id} -> id
          nil -> :undefined
        end

      %{pid: pid, id: id, restarted: not Enum.member?(info, {:restart_type, :temporary})}
    end
  end

  # As `proc_lib:exit_reason/3` has it.
  defp exit_reason(:error, reason, stack), do: {reason, stack}
  defp exit_reason(:exit, reason, _stack), do: reason
  defp exit_reason(:throw, reason, stack), do: {{:nocatch, reason}, stack}

  if Version.match?(System.version(), ">= 1.15.0-dev") do
    # The report does not say whether this was an exit, whose reason has no stack trace.
    defp task_reason(value, stack) do
      error? =
        match?({:nocatch, _}, value) or not match?(%ErlangError{}, Exception.normalize(:error, value, stack))

      if error?, do: {value, stack}, else: value
    end
  end
end
