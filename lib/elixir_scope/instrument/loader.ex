defmodule ElixirScope.Instrument.Loader do
  @moduledoc false

  # Puts a module's code in the place of its current one, and never ends a process for it.
  #
  # The emulator keeps two versions of a module. Loading a third one needs the oldest purged, and a hard purge kills processes
  # that still run in it. So only `:code.soft_purge/1` is used: where processes are in the way, they are told.

  @type reason :: {:old_code_in_use, [pid]} | {:sticky, module} | {:not_loaded, term}

  @doc """
  Loads `beam` as the code of `module`, as if it came from `path`. The module's directory stays sticky if it was.
  """
  @spec load(module, charlist, binary) :: :ok | {:error, reason}
  def load(module, path, beam) do
    ready()

    with :ok <- purge(module) do
      sticky? = :code.is_sticky(module)
      if sticky?, do: :code.unstick_mod(module)

      try do
        case :code.load_binary(module, path, beam) do
          {:module, ^module} -> purge_if_unused(module, beam)
          {:error, reason} -> {:error, {:not_loaded, reason}}
        end
      after
        if sticky?, do: :code.stick_mod(module)
      end
    end
  end

  # What injected code calls has to be there before: the code server may run injected code itself (`:lists`, `:maps`), and ends
  # the node when it comes to a module that it would have to load.
  @called [
    ElixirScope.Native,
    ElixirScope.Instrument.Runtime,
    ElixirScope.Recorder.Server,
    ElixirScope.Redacted
  ]

  defp ready, do: Enum.each(@called, &Code.ensure_loaded!/1)

  @doc "The processes that still run a module's old code."
  @spec in_old_code(module) :: [pid]
  def in_old_code(module) do
    for pid <- Process.list(), :erlang.check_process_code(pid, module) == true, do: pid
  end

  @doc "Takes away a module's old code, if no process runs in it."
  @spec purge(module) :: :ok | {:error, {:old_code_in_use, [pid]}}
  def purge(module) do
    if :code.soft_purge(module), do: :ok, else: {:error, {:old_code_in_use, in_old_code(module)}}
  end

  # What nobody runs any more need not be kept; what somebody runs may stay. Funs stay as well: a table or a persistent term
  # may hold one that is called later (a telemetry handler), and no purge sees it there.
  defp purge_if_unused(module, beam) do
    unless funs?(beam), do: :code.soft_purge(module)
    :ok
  end

  defp funs?(beam) do
    match?(
      {:ok, {_module, [{_id, table}]}} when is_binary(table),
      :beam_lib.chunks(beam, [~c"FunT"], [:allow_missing_chunks])
    )
  end
end
