defmodule ElixirScope.Recorder.InUse do
  @moduledoc false

  # The configuration in use, in a persistent term: it outlives all processes of ours, as the native recorder does.

  alias ElixirScope.{Config, Native}

  @doc "The configuration in use, or `nil` when the recorder is not running."
  @spec config() :: Config.t() | nil
  def config, do: if(Native.running(), do: :persistent_term.get(__MODULE__, nil))

  @spec put(Config.t()) :: :ok
  def put(config), do: :persistent_term.put(__MODULE__, config)

  @spec forget() :: boolean
  def forget, do: :persistent_term.erase(__MODULE__)
end
