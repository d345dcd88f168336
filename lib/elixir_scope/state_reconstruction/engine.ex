defmodule ElixirScope.StateReconstruction.Engine do
  @moduledoc """
  Rebuilds the state of a process at a past time.

  The same answers as `ElixirScope.fetch_state_at/3` and `ElixirScope.get_state_diff/4`, in the form of `{:ok, value}`, for tools
  that go through many processes and times.

      iex> ElixirScope.start()
      iex> ElixirScope.StateReconstruction.Engine.reconstruct_state_at(self(), ElixirScope.now())
      {:error, :no_state_recorded}
  """

  alias ElixirScope.Timeline

  @doc """
  The state that a process had at a time: integer nanoseconds on the tape's clock, a `DateTime`, or `:last`.

  How far it can be relied on is told by `ElixirScope.fetch_state_at/3`.
  """
  @spec reconstruct_state_at(pid, Timeline.time() | :last) :: {:ok, state :: term} | Timeline.error()
  def reconstruct_state_at(pid, time) do
    with {:ok, state, _meta} <- Timeline.fetch_state_at(pid, time, []), do: {:ok, state}
  end

  @doc """
  What changed in the state of a process from one time to another.

      iex> ElixirScope.start()
      iex> now = ElixirScope.now()
      iex> {:error, error} = ElixirScope.StateReconstruction.Engine.get_state_diff(self(), now, now - 1)
      iex> {:invalid_option, :from, ^now, expected} = error.reason
      iex> expected
      "a time not after :to"
  """
  @spec get_state_diff(pid, from :: Timeline.time() | :last, to :: Timeline.time() | :last) ::
          {:ok, [Timeline.change()]} | Timeline.error()
  def get_state_diff(pid, from, to), do: Timeline.get_state_diff(pid, from, to, [])
end
