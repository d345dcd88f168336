defmodule ElixirScope.Life do
  @moduledoc false

  # The lives of processes: the tree that they stood in, and how one of them ended. Runs in the calling process, muted.

  alias ElixirScope.{Error, Muted, Native, Options, Query}
  alias ElixirScope.Life.{CrashReport, Tree}

  @tree [
    at: [
      type: {:custom, "integer nanoseconds, a DateTime, or :now", &__MODULE__.cast_instant/1},
      default: :now,
      doc: "The time."
    ],
    limit: [
      type: :pos_integer,
      default: 100_000,
      doc: "How many processes at most, the oldest ones."
    ]
  ]

  @typedoc """
  A process in the tree. What is not known is nil.

    * `alive`: whether it lived at that time; a dead one is there only as the parent of others
    * `born_at`, `exited_at`, `exit_reason`: as recorded, the end also where it came later
    * `initial_call`: `{:supervisor, module, 1}` of a supervisor
    * `current`: now, the function that it is in; at an earlier time, the innermost recorded call
    * `kind`: `:worker` for a child of a supervisor
    * `restarts`: how often it was restarted before, as far as that was seen
  """
  @type process :: %{
          pid: pid,
          parent: pid | nil,
          name: atom | nil,
          alive: boolean,
          born_at: integer | nil,
          exited_at: integer | nil,
          exit_reason: term,
          initial_call: mfa | nil,
          current: mfa | nil,
          links: [pid],
          restarts: non_neg_integer,
          kind: :supervisor | :worker | :other,
          children: [process]
        }

  @type tree :: %{
          at: integer,
          complete: boolean,
          reason: nil | :not_traced | :events_lost | :too_many_events | :too_many_processes,
          processes: non_neg_integer,
          children: [process]
        }

  @type error :: {:error, :not_running | {:remote, node} | Error.t()}

  @spec tree_docs() :: String.t()
  def tree_docs, do: Options.docs(@tree)

  @spec process_tree(term) :: tree | error
  def process_tree(opts) do
    ask("ElixirScope.process_tree/1", fn offset ->
      with {:ok, %{at: at, limit: limit}} <- Options.validate(opts, @tree) do
        Tree.at(if(at == :now, do: :now, else: Query.Options.tape_time(at, offset)), limit)
      end
    end)
  end

  @spec get_crash_report(term) :: {:ok, CrashReport.t()} | error | {:error, :no_exit_recorded}
  def get_crash_report(pid) do
    ask("ElixirScope.get_crash_report/1", fn _offset ->
      cond do
        not is_pid(pid) -> Error.invalid(:pid, pid, "a pid")
        node(pid) != node() -> {:error, {:remote, node(pid)}}
        true -> CrashReport.of(pid)
      end
    end)
  end

  @doc false
  @spec cast_instant(term) :: {:ok, integer | DateTime.t() | :now} | :error
  def cast_instant(:now), do: {:ok, :now}
  def cast_instant(time), do: Query.Options.cast_time(time)

  defp ask(what, fun) do
    Muted.run(fn ->
      with true <- Native.running() || {:error, :not_running},
           offset when is_integer(offset) <- Native.time_offset() do
        answer(fun.(offset), what)
      end
    end)
  end

  defp answer({:error, :no_exit_recorded}, _what), do: {:error, :no_exit_recorded}
  defp answer({:error, {:remote, node}}, _what), do: {:error, {:remote, node}}
  defp answer(answer, what), do: Query.answer(answer, what)
end
