defmodule ElixirScope.Life.Look do
  @moduledoc false

  # Looks at living processes. Of a dead one everything is nil.

  @type start :: {module, atom, arity}

  @doc "The registered name."
  @spec name(pid) :: atom | nil
  def name(pid) do
    case Process.info(pid, :registered_name) do
      {:registered_name, name} when is_atom(name) -> name
      _none -> nil
    end
  end

  @doc "The supervisor of the calling process: its parent, if that is one."
  @spec supervisor() :: pid | nil
  def supervisor do
    with [parent | _] <- Process.get(:"$ancestors"),
         pid when is_pid(pid) <- pid(parent),
         true <- supervisor?(pid) do
      pid
    else
      _other -> nil
    end
  end

  @doc "Whether a process is a supervisor: one that `supervisor` or `DynamicSupervisor` made."
  @spec supervisor?(pid) :: boolean
  def supervisor?(pid), do: match?({:supervisor, _module, _arity}, started_as(pid))

  @doc "The callback with which a process of `proc_lib` began."
  @spec started_as(pid) :: start | nil
  def started_as(pid) do
    case dictionary(pid, :"$initial_call") do
      {module, function, arity} -> {module, function, arity}
      _none -> nil
    end
  end

  # The whole dictionary is copied before OTP 26.2.
  if String.to_integer(System.otp_release()) >= 27 do
    defp dictionary(pid, key) when node(pid) == node() do
      case :erlang.process_info(pid, {:dictionary, key}) do
        {_item, :undefined} -> nil
        {_item, value} -> value
        _dead -> nil
      end
    end
  else
    defp dictionary(pid, key) when node(pid) == node() do
      with {:dictionary, dictionary} <- Process.info(pid, :dictionary),
           {^key, value} <- List.keyfind(dictionary, key, 0) do
        value
      else
        _none -> nil
      end
    end
  end

  defp dictionary(_remote, _key), do: nil

  defp pid(pid) when is_pid(pid), do: pid
  defp pid(name) when is_atom(name), do: Process.whereis(name)
  defp pid(_other), do: nil
end
