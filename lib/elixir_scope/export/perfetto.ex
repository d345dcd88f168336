defmodule ElixirScope.Export.Perfetto do
  @moduledoc false

  # A Perfetto trace, made natively step by step. Each step is asked for when the one before has been written, so that neither side
  # holds more than one of them.

  alias ElixirScope.{Error, Muted, Native, Options, Query}

  @own [
    path: [
      type: {:custom, "the path of a file", &__MODULE__.cast_path/1},
      doc:
        "The file that is written; required. One whose name ends in `.gz` is compressed. A file that is there is replaced at the end."
    ],
    progress: [
      type: {:custom, "a function of one argument", &__MODULE__.cast_progress/1},
      doc:
        "A function that is called after each step, with a map of `events`, how many have been written, and `share`, how much is done, " <>
          "from 0.0 to 1.0."
    ]
  ]

  # The order is that of time.
  @without [:order]

  @type progress :: %{events: non_neg_integer, share: float}
  @type written :: %{
          path: Path.t(),
          events: non_neg_integer,
          bytes: non_neg_integer,
          tracks: non_neg_integer,
          evicted: non_neg_integer
        }

  @doc "The options in Markdown, those of a query first."
  @spec docs() :: String.t()
  def docs do
    query = Query.Options.schema() |> Keyword.drop(@without) |> Keyword.update!(:limit, &unlimited/1)
    Options.docs(@own ++ query)
  end

  defp unlimited(limit), do: Keyword.put(limit, :default, :infinity)

  @doc false
  @spec cast_path(term) :: {:ok, Path.t()} | :error
  def cast_path(path) when is_binary(path) and path != "", do: {:ok, path}
  def cast_path(_other), do: :error

  @doc false
  @spec cast_progress(term) :: {:ok, (progress -> term)} | :error
  def cast_progress(progress) when is_function(progress, 1), do: {:ok, progress}
  def cast_progress(_other), do: :error

  @spec write(term) :: {:ok, written} | Query.error()
  def write(opts) do
    with {:ok, own, query} <- split(opts),
         {:ok, path} <- required(own) do
      into(path, own[:progress], fn -> open(query) end, &step/1)
    end
  end

  defp required(%{path: path}), do: {:ok, path}
  defp required(_own), do: Error.invalid(:path, nil, "the path of a file")

  @doc "Our own options, validated, and those of the query."
  @spec split(term) :: {:ok, map, keyword} | {:error, Error.t()}
  def split(opts) do
    if Keyword.keyword?(opts) do
      {own, query} = Keyword.split(opts, Keyword.keys(@own))
      with {:ok, own} <- Options.validate(own, @own), do: {:ok, own, query}
    else
      Options.validate(opts, @own)
    end
  end

  # -- The steps --------------------------------------------------------------------------------------------------------

  @doc "Begins an export; options of a query, but for `:order`."
  @spec open(keyword) :: {:ok, Native.export()} | Query.error()
  def open(query) do
    query
    |> Keyword.put_new(:limit, :infinity)
    |> Query.ask(@without, "ElixirScope.Export.perfetto/1", fn query ->
      query |> Map.put(:order, :asc) |> Native.export_open(names())
    end)
  end

  @doc "What is to be written next."
  @spec step(Native.export()) :: {binary, map} | Query.error()
  def step(export) do
    Muted.run(fn -> Query.answer(Native.export_step(export), "ElixirScope.Export.perfetto/1") end)
  end

  # What processes are called that live now. Births and names on the tape are found natively.
  defp names do
    for name <- Process.registered(), pid = Process.whereis(name), is_pid(pid), do: {pid, inspect(name)}
  end

  # -- The file ---------------------------------------------------------------------------------------------------------

  @doc "Writes what `step` gives until it is complete. The file has its name once it is whole."
  @spec into(
          Path.t(),
          nil | (progress -> term),
          (() -> {:ok, export} | error),
          (export -> {binary, map} | error)
        ) ::
          {:ok, written} | error
        when export: term, error: {:error, term}
  def into(path, progress, open, step) do
    part = path <> ".part"

    with {:ok, export} <- open.(),
         {:ok, file} <- file(:file.open(part, modes(path)), path) do
      try do
        with {:ok, %{events: events, tracks: tracks} = state} <- copy(file, path, progress, export, step),
             :ok <- file(:file.close(file), path),
             :ok <- file(:file.rename(part, path), path),
             {:ok, %{size: bytes}} <- file(File.stat(path), path) do
          {:ok,
           %{path: path, events: events, bytes: bytes, tracks: tracks, evicted: Map.get(state, :evicted, 0)}}
        end
      after
        # Both are gone where all went well.
        :file.close(file)
        :file.delete(part)
      end
    end
  end

  defp modes(path) do
    modes = [:write, :raw, :binary]
    if String.ends_with?(path, ".gz"), do: [:compressed | modes], else: modes
  end

  defp copy(file, path, progress, export, step) do
    with {bytes, %{} = state} <- step.(export),
         :ok <- file(:file.write(file, bytes), path) do
      if progress, do: progress.(%{events: state.events, share: share(state)})
      if state.complete, do: {:ok, state}, else: copy(file, path, progress, export, step)
    end
  end

  defp share(%{complete: true}), do: 1.0
  defp share(%{done: done, total: total}), do: done / max(total, 1)

  defp file({:error, reason}, path), do: {:error, %Error{reason: {:not_written, path, reason}}}
  defp file(answer, _path), do: answer
end
