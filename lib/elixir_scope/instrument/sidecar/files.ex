defmodule ElixirScope.Instrument.Sidecar.Files do
  @moduledoc false

  # Files that others may read at any time.

  @extension ".scope_new"

  @doc "Whether a file is what a process that was ended in the middle of `replace/2` has left."
  @spec left_over?(String.t()) :: boolean
  def left_over?(file), do: String.ends_with?(file, @extension)

  @doc """
  Does something in a folder, and leaves it with the time that it had. Elixir 1.15 and later take a folder of beams with a newer
  time for one whose beams changed, and write the application's file again.
  """
  @spec keeping_time(Path.t(), (() -> result)) :: result when result: var
  def keeping_time(folder, fun) do
    before = File.stat(folder, time: :posix)
    result = fun.()
    with {:ok, %File.Stat{mtime: mtime}} <- before, do: File.touch(folder, mtime)
    result
  end

  @doc "Puts a file in its place whole, or leaves what was there."
  @spec replace(Path.t(), iodata) :: :ok | {:error, {:file, File.posix()}}
  def replace(path, content) do
    beside = "#{path}.#{System.pid()}#{@extension}"

    with :ok <- File.write(beside, content),
         :ok <- File.rename(beside, path) do
      :ok
    else
      {:error, posix} ->
        _ = File.rm(beside)
        {:error, {:file, posix}}
    end
  end
end
