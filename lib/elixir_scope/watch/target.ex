defmodule ElixirScope.Watch.Target do
  @moduledoc false

  # A process to watch: who it is, and whether it may be. Nothing is sent to it here: a process that does not know system
  # messages would keep them, or trip over them.

  alias ElixirScope.Error
  alias ElixirScope.Instrument.{Server, Sidecar}
  alias ElixirScope.Watch.Follower

  @spec find(term, caller :: pid, force :: boolean) ::
          {:ok, Follower.target()} | {:error, {:remote, node} | Error.t()}
  def find(process, caller, force?) do
    with {:ok, pid} <- pid(process),
         {:ok, {begun, module}} <- module(pid),
         :ok <- permitted(pid, begun, module, caller),
         :ok <- if(force?, do: :ok, else: sensible(pid, begun, module)) do
      {:ok, {pid, module}}
    end
  end

  # -- Who it is --------------------------------------------------------------------------------------------------------

  defp pid(pid) when is_pid(pid) and node(pid) == node(), do: {:ok, pid}
  defp pid(pid) when is_pid(pid), do: {:error, {:remote, node(pid)}}
  defp pid({name, node}) when is_atom(name) and node == node(), do: pid(name)

  defp pid({name, node}) when is_atom(name) and is_atom(node) and name not in [:global, :via],
    do: {:error, {:remote, node}}

  defp pid(name) when is_atom(name) and name not in [nil, true, false], do: registered(name)
  defp pid({:global, _term} = name), do: registered(name)
  defp pid({:via, module, _term} = name) when is_atom(module), do: registered(name)
  defp pid(other), do: Error.invalid(:process, other, "a pid, or the name of a process")

  defp registered(name) do
    case GenServer.whereis(name) do
      nil -> {:error, %Error{reason: {:no_process, name}}}
      process -> pid(process)
    end
  end

  # `proc_lib` notes in each process that it starts what that began in; processes of behaviours began in `init`. A supervisor puts its own
  # callback module there. An agent puts its first function there, and so does a task, which knows no system messages.
  defp module(pid) do
    case Process.info(pid, [:dictionary, :current_stacktrace]) do
      nil -> {:error, %Error{reason: {:no_process, pid}}}
      [dictionary: dictionary, current_stacktrace: frames] -> {:ok, module_of(dictionary, frames)}
    end
  end

  defp module_of(dictionary, frames) do
    case List.keyfind(dictionary, :"$initial_call", 0) do
      {_key, {:supervisor, Supervisor.Default, 1}} -> {:init, :supervisor}
      {_key, {:supervisor, module, 1}} -> {:init, module}
      {_key, {:gen_event, :init_it, 6}} -> {:init, :gen_event}
      {_key, {module, :init, 1}} -> {:init, module}
      {_key, {module, function, _arity}} -> begun_elsewhere(module, function, dictionary, frames)
      _none -> {:unknown, :unknown}
    end
  end

  # Phoenix's servers say that they began in the view or the channel that they drive, and who called them, as tasks do. A task does not
  # wait in the loop of a behaviour.
  defp begun_elsewhere(module, function, dictionary, frames) do
    cond do
      not waits_in_behaviour?(frames) -> {:unknown, module}
      List.keymember?(dictionary, :"$callers", 0) and not loops?(frames) -> {:unknown, module}
      function == :mount -> {:looks_so, Phoenix.LiveView.Channel}
      function == :join -> {:looks_so, Phoenix.Channel.Server}
      String.starts_with?(Atom.to_string(function), "-") -> {:looks_so, Agent.Server}
      true -> {:looks_so, module}
    end
  end

  defp loops?([{:gen_server, function, _arity, _place} | _frames]), do: function in [:loop, :loop_hibernate]
  defp loops?(_frames), do: false

  # One that hibernates has no stack.
  defp waits_in_behaviour?(frames) do
    frames == [] or
      Enum.any?(frames, fn {module, _function, _arity, _place} ->
        module in [:gen_server, :gen_statem, :gen_event, :sys]
      end)
  end

  # -- Whether it may be ------------------------------------------------------------------------------------------------

  defp permitted(pid, _begun, _module, pid),
    do: Follower.refused(pid, "it is the calling process, which could not answer")

  defp permitted(pid, begun, module, _caller) do
    if (begun == :init and ours?(module)) or ours?(name(pid)),
      do: Follower.refused(pid, "it is one of ElixirScope's own"),
      else: :ok
  end

  defp name(pid) do
    case Process.info(pid, :registered_name) do
      {:registered_name, name} when is_atom(name) -> name
      _none -> nil
    end
  end

  defp ours?(module) do
    name = Atom.to_string(module)
    name == "Elixir.ElixirScope" or String.starts_with?(name, ["Elixir.ElixirScope.", "elixir_scope_"])
  end

  defp sensible(pid, begun, module) do
    cond do
      begun == :unknown ->
        Follower.refused(
          pid,
          "it was not started as a process of an OTP behaviour, nor waits in one, and might not know system messages; " <>
            "one that does is watched with force: true"
        )

      is_map_key(Server.modules(), module) or Sidecar.plain_digest(module) != nil ->
        Follower.refused(
          pid,
          "its module #{inspect(module)} is instrumented, and records its states itself; " <>
            "where it was told not to, force: true watches it"
        )

      true ->
        :ok
    end
  end
end
