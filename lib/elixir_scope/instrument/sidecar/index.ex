defmodule ElixirScope.Instrument.Sidecar.Index do
  @moduledoc false

  # One file to a folder of beams, `<ebin>/elixir_scope.index`: which of its modules have a sidecar, and which project's
  # compiler wrote them. Starting an application without any costs one look for this file per folder of the code path.
  #
  #     elixir_scope index 1
  #     owner shop
  #     at /home/me/shop/_build/dev/lib/shop/ebin
  #     project /home/me/shop/mix.exs
  #     Elixir.Shop.Cart
  #     end 1

  alias ElixirScope.Instrument.Sidecar.{Content, Files}

  @file_name "elixir_scope.index"
  @head "elixir_scope index 1"

  @enforce_keys [:owner, :at, :project, :modules]
  defstruct @enforce_keys

  @type t :: %__MODULE__{owner: String.t(), at: Path.t(), project: Path.t(), modules: [String.t()]}
  @type reason :: :none | :damaged | {:file, File.posix()}

  @doc "Where the index of a folder lies."
  @spec path(Path.t()) :: Path.t()
  def path(ebin), do: Path.join(ebin, @file_name)

  @doc "Reads the index of a folder; `:none` where there is none."
  @spec read(Path.t()) :: {:ok, t} | {:error, reason}
  def read(ebin) do
    # `:file` and not `File`: the folders of the code path may be in archives, where there are no files.
    case :file.read_file(path(ebin)) do
      {:ok, content} -> parse(content)
      {:error, missing} when missing in [:enoent, :enotdir] -> {:error, :none}
      {:error, posix} -> {:error, {:file, posix}}
    end
  end

  @doc "Puts the index of a folder in its place, where it says something new; without modules there is none."
  @spec write(Path.t(), t) :: :ok | {:error, {:file, File.posix()}}
  def write(ebin, %__MODULE__{modules: []}), do: remove(ebin)

  def write(ebin, %__MODULE__{} = index) do
    content = text(index)

    with :ok <-
           if(File.read(path(ebin)) == {:ok, content}, do: :ok, else: Files.replace(path(ebin), content)),
         do: confirm(ebin, index)
  end

  @doc "Removes the index of a folder: nothing of it is loaded any more."
  @spec remove(Path.t()) :: :ok | {:error, {:file, File.posix()}}
  def remove(ebin) do
    case File.rm(path(ebin)) do
      {:error, posix} when posix not in [:enoent, :enotdir] -> {:error, {:file, posix}}
      _gone -> :ok
    end
  end

  @doc "Removes all sidecars of a folder, and the index."
  @spec wipe(Path.t()) :: :ok
  def wipe(ebin) do
    Files.keeping_time(ebin, fn ->
      _ = remove(ebin)
      with {:ok, files} <- File.ls(ebin), do: remove_sidecars(ebin, files, MapSet.new())
    end)

    :ok
  end

  @doc "Removes the sidecars among `files` that are not to be kept."
  @spec remove_sidecars(Path.t(), [String.t()], MapSet.t(String.t())) :: :ok
  def remove_sidecars(ebin, files, kept) do
    for file <- files,
        (Content.name?(file) and file not in kept) or Files.left_over?(file),
        do: File.rm(Path.join(ebin, file))

    :ok
  end

  @doc """
  Whether the project's file was changed after the index was last confirmed: the compiler may have been taken out of it since.
  Each run of the compiler confirms the index. A copy of the folder, as a release makes it, has left its project.
  """
  @spec stale?(Path.t(), t) :: boolean
  def stale?(ebin, %__MODULE__{} = index) do
    Path.expand(ebin) == index.at and modified(index.project) > modified(path(ebin))
  end

  # The project's file may bear a time to come, by another machine's clock.
  defp confirm(ebin, index) do
    if stale?(ebin, index),
      do: File.touch(path(ebin), max(System.os_time(:second), modified(index.project)))

    :ok
  end

  defp modified(path) do
    case File.stat(path, time: :posix) do
      {:ok, %File.Stat{mtime: mtime}} -> mtime
      {:error, _posix} -> 0
    end
  end

  # -- Text -------------------------------------------------------------------------------------------------------------

  defp text(index) do
    lines = [
      @head,
      "owner #{index.owner}",
      "at #{index.at}",
      "project #{index.project}" | index.modules ++ ["end #{length(index.modules)}", ""]
    ]

    Enum.join(lines, "\n")
  end

  defp parse(content) do
    with [@head, "owner " <> owner, "at " <> at, "project " <> project | rest] <- String.split(content, "\n"),
         {modules, ["end " <> count, ""]} <- Enum.split(rest, -2),
         true <- count == Integer.to_string(length(modules)) do
      {:ok, %__MODULE__{owner: owner, at: at, project: project, modules: modules}}
    else
      _not_whole -> {:error, :damaged}
    end
  end
end
