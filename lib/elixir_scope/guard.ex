defmodule ElixirScope.Guard do
  @moduledoc """
  Thins recording when the node is in need, and takes that back when the need has passed.

  A process of ours looks ten times a second at how many processes wait for a scheduler, at the memory of the node, at what recording
  itself takes of the processor, and at what the rings lose. Past one of the bounds of `guard:` in the configuration (see
  `ElixirScope.Config`) recording goes one level up, and once all figures are well below their bounds for a second, one level
  down. The program's own work is never shed or delayed: what gives way is the tape.

  | level | what is recorded |
  | --- | --- |
  | `:full` | everything, as configured |
  | `:no_payloads` | of arguments, results, messages and variables only numbers, names, pids and references; whatever else is `%ElixirScope.Truncated{kind: :guard}`. Exceptions, changes of states and what `ElixirScope.Trace` writes down stay whole. |
  | `:sampled` | besides, one in 16 of the outermost calls that would be recorded, each with the calls inside it |
  | `:no_traces` | besides, all traces of the VM have ended, with the reason `:guard`, and none can begin |
  | `:paused` | nothing: what would have been recorded is counted as lost, by the cause `:guard` |

  A bound that was given counts when it is passed at two looks in a row. One that was left to `:auto` counts after ten: a burst of a
  node that starts is no overload. The way down takes ten calm looks for each level. Calm is at most half of each bound, or nine
  tenths of that of memory, which a node rarely gives back.

  Each step is on the tape, as an event of the type `:trace_control` with the operation `:guard`, the new level as its target, the
  figures and the bound in its limits, and the name of the bound (or `:calm`) as its reason. `ElixirScope.status/0` tells under `:guard` how things
  stand:

      iex> ElixirScope.start()
      iex> %{level: level, steps: steps} = ElixirScope.status().guard
      iex> {level, steps}
      {:full, []}
  """

  use GenServer

  alias ElixirScope.{Config, Muted, Native, Options, Patience, Recorder}
  alias ElixirScope.Guard.{Bounds, Ladder, Reading}

  @typedoc "How much is recorded, from all to nothing."
  @type level :: :full | :no_payloads | :sampled | :no_traces | :paused

  @typedoc """
  How things stand.

    * `level`, `since`: how much is recorded, and since when
    * `why`: the bound that was passed last, with what was measured; `nil` at the level `:full`
    * `figures`: of the newest look; `nil` before the first
    * `bounds`: in use; `:infinity` for what is not watched
    * `steps`: the newest ones, newest first
  """
  @type status :: %{
          level: level,
          since: DateTime.t() | nil,
          why: why | nil,
          figures: Reading.figures() | nil,
          bounds: %{atom => number | :infinity},
          steps: [%{at: DateTime.t(), from: level, to: level, why: why | :calm}]
        }

  @typedoc "A bound that was passed."
  @type why :: %{bound: atom, limit: number, figure: number}

  @every_ms 100
  @steps 20

  @doc false
  @spec levels() :: [level]
  def levels, do: Ladder.levels()

  @doc false
  # Where our processes are gone, the library goes on at the level that it had.
  @spec status() :: status
  def status do
    with {:error, _gone} <- Patience.call(fn -> GenServer.call(__MODULE__, :status) end) do
      level = with %{level: level} <- Native.guard_reading(), do: Ladder.name(level), else: (_ -> :full)
      %{level: level, since: nil, why: nil, figures: nil, bounds: %{}, steps: []}
    end
  end

  @doc false
  @spec start_link(term) :: GenServer.on_start()
  def start_link(_arg), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc false
  # The recorder has been started: all is as configured.
  @spec watch() :: :ok
  def watch, do: GenServer.cast(__MODULE__, :watch)

  @doc false
  # For tests: the figures come from `read`, and a look is taken when `look/0` asks for it. `nil` takes that back.
  @spec read_with((() -> Reading.figures()) | nil) :: :ok
  def read_with(read), do: GenServer.call(__MODULE__, {:read_with, read})

  @doc false
  @spec look() :: status
  def look, do: GenServer.call(__MODULE__, :look)

  # -- The process: idle until the recorder runs --------------------------------------------------------------------------

  @impl true
  def init(nil) do
    Muted.forever()
    # What waits behind the host's own processes sees nothing of their trouble.
    Process.flag(:priority, :high)
    # One before this one may have gone up.
    level = with %{level: level} <- Native.running() && Native.guard_reading(), do: level, else: (_ -> 0)
    {:ok, tick(%{fresh() | ladder: Ladder.at(level)})}
  end

  defp fresh do
    %{
      ladder: Ladder.at(0),
      since: DateTime.utc_now(),
      why: nil,
      steps: [],
      seen: nil,
      figures: nil,
      read: nil,
      timer: nil,
      system: Bounds.system()
    }
  end

  @impl true
  def handle_cast(:watch, state) do
    cancel(state.timer)
    # A look that was under way may have put the new recorder where the old one was.
    with %{level: level} when level > 0 <- Native.guard_reading(), do: Native.guard_level(0)
    {:noreply, tick(%{fresh() | read: state.read})}
  end

  @impl true
  def handle_info(:tick, state), do: {:noreply, tick(state)}
  def handle_info(_other, state), do: {:noreply, state}

  @impl true
  def handle_call(:status, _from, state), do: {:reply, status_of(state), state}

  def handle_call(:look, _from, state) do
    state = take_look(state)
    {:reply, status_of(state), state}
  end

  def handle_call({:read_with, read}, _from, state) do
    cancel(state.timer)
    {:reply, :ok, tick(%{state | read: read, timer: nil, seen: nil})}
  end

  defp cancel(nil), do: false
  defp cancel(timer), do: Process.cancel_timer(timer)

  defp tick(%{read: nil} = state) do
    if Native.running(),
      do: %{take_look(state) | timer: Process.send_after(self(), :tick, @every_ms)},
      else: %{state | timer: nil}
  end

  defp tick(state), do: %{state | timer: nil}

  # -- A look -------------------------------------------------------------------------------------------------------------

  defp take_look(state) do
    case Native.guard_reading() do
      # Nothing is recorded anyway.
      %{paused: true} = seen ->
        %{state | seen: seen, ladder: Ladder.rest(state.ladder)}

      %{} = seen ->
        seen = Map.put(seen, :at_ns, System.monotonic_time())
        figures = if state.read, do: state.read.(), else: Reading.take(seen, state.seen)
        decide(%{state | seen: seen, figures: figures}, bounds(state.system))

      {:error, :not_running} ->
        state
    end
  end

  defp bounds(system) do
    config = Recorder.InUse.config() || Options.defaults(Config.schema())
    Bounds.of(config.guard, system)
  end

  defp decide(state, bounds) do
    passed = Bounds.passed(bounds, state.figures)
    before = state.ladder

    case Ladder.look(before, passed, Bounds.calm?(bounds, state.figures)) do
      {:stay, ladder} ->
        %{state | ladder: ladder}

      {:up, key, ladder} ->
        %{bound: limit, figure: figure} = Map.fetch!(passed, key)
        why = %{bound: key, limit: limit, figure: figure}
        note(before, ladder, state.figures, why)
        step(%{state | ladder: ladder, why: why}, before, why)

      {:down, ladder} ->
        state = step(%{state | ladder: ladder}, before, :calm)
        note(before, ladder, state.figures, :calm)
        if ladder.level == 0, do: %{state | why: nil}, else: state
    end
  end

  defp step(state, before, why) do
    Native.guard_level(state.ladder.level)
    now = DateTime.utc_now()
    step = %{at: now, from: Ladder.name(before.level), to: Ladder.name(state.ladder.level), why: why}
    %{state | since: now, steps: Enum.take([step | state.steps], @steps)}
  end

  # While more is recorded than at the other end of the step: at the highest level nothing is.
  defp note(before, now, figures, why) do
    limits = Map.merge(figures, %{from: Ladder.name(before.level)})
    limits = if is_map(why), do: Map.merge(limits, %{bound: why.bound, limit: why.limit}), else: limits
    Native.trace_note(:guard, Ladder.name(now.level), limits, if(is_map(why), do: why.bound, else: why))
  end

  defp status_of(state) do
    %{
      level: Ladder.name(state.ladder.level),
      since: state.since,
      why: state.why,
      figures: state.figures,
      bounds: Map.new(bounds(state.system), fn {key, bound} -> {key, bound.limit} end),
      steps: state.steps
    }
  end
end
