defmodule ElixirScope.Instrument.Server do
  @moduledoc false

  # Puts what changes loaded code in one order, and brings plain code back where processes were in the way. What is instrumented
  # on this node stands in a persistent term, which outlives this process.

  use GenServer

  alias ElixirScope.{Error, Muted, Native, Patience}
  alias ElixirScope.Instrument.{Loader, Source, Switches}

  @modules {__MODULE__, :modules}
  @again_ms 500

  @typedoc "`plain` is the digest of the plain code, which is `kept` where no file has it; `pending` says that it shall come back."
  @type entry :: %{plain: binary, functions: [{atom, arity}], pending: boolean, kept: Source.t() | nil}

  @spec start_link(term) :: GenServer.on_start()
  def start_link(_arg), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc "What was instrumented on this node while it ran."
  @spec modules() :: %{module => entry}
  def modules, do: :persistent_term.get(@modules, %{})

  @doc "Loads instrumented modules: all of them, or none."
  @spec load([map]) :: :ok | {:error, Loader.reason() | Error.t()}
  def load(instrumented), do: call({:load, instrumented})

  @doc "Brings plain code back; `:pending` where that has to wait for processes."
  @spec unload([Source.t()]) :: :ok | :pending | {:error, Error.t()}
  def unload(sources), do: call({:unload, sources})

  @doc "Runs what changes loaded code by itself, in order with all else that does."
  @spec run((() -> result)) :: result when result: var
  def run(change), do: call({:run, change})

  @doc "Notes which modules came instrumented, and which are plain again: in `run/1`, or before this process is there."
  @spec note([{module, plain :: binary, [{atom, arity}]}], [module]) :: :ok
  def note([], []), do: :ok

  def note(instrumented, plain) do
    entries =
      for {module, digest, functions} <- instrumented, into: %{} do
        {module, %{plain: digest, functions: functions, pending: false, kept: nil}}
      end

    :persistent_term.put(@modules, modules() |> Map.drop(plain) |> Map.merge(entries))
  end

  @doc "Changes the switches."
  @spec switch((Switches.t() -> Switches.t())) :: :ok | {:error, Error.t()}
  def switch(change), do: call({:switch, change})

  defp call(request), do: Patience.call(fn -> GenServer.call(__MODULE__, request, :infinity) end)

  @impl true
  def init(nil) do
    Muted.forever()
    # What a predecessor that was killed asked of the code server has been done when this answers.
    :code.get_path()
    for {module, entry} <- modules(), plain_again?(module, entry), do: gone(module)
    if Native.running(), do: Switches.apply(Switches.get())
    if Enum.any?(modules(), fn {_module, entry} -> entry.pending end), do: wait()
    {:ok, nil}
  end

  @impl true
  def handle_call({:load, instrumented}, _from, nil) do
    # No module may be in the way before the first one changes.
    ready =
      Enum.reduce_while(instrumented, :ok, fn %{module: module}, :ok -> first_error(Loader.purge(module)) end)

    {:reply, with(:ok <- ready, do: load_all(instrumented, [])), nil}
  end

  def handle_call({:unload, sources}, _from, nil) do
    gone = for %{module: module} <- sources, do: module
    Switches.get() |> Switches.turn(gone, false) |> Switches.apply()
    left = Enum.reject(sources, &unload_one/1)
    {:reply, if(left == [], do: :ok, else: pending(left)), nil}
  end

  def handle_call({:run, change}, _from, nil), do: {:reply, change.(), nil}

  def handle_call({:switch, change}, _from, nil) do
    {:reply, Switches.get() |> change.() |> Switches.apply(), nil}
  end

  @impl true
  def handle_info(:again, nil) do
    for {module, %{pending: true} = entry} <- modules() do
      case entry.kept || Source.find(module, entry.plain) do
        {:ok, source} -> unload_one(source)
        %{} = source -> unload_one(source)
        # other code is on disk by now: what is loaded stays switched off
        {:error, _error} -> put(module, %{entry | pending: false})
      end
    end

    if Enum.any?(modules(), fn {_module, entry} -> entry.pending end), do: wait()
    {:noreply, nil}
  end

  def handle_info(_other, nil), do: {:noreply, nil}

  defp first_error(:ok), do: {:cont, :ok}
  defp first_error(error), do: {:halt, error}

  # A module that was noted and never loaded, or unloaded and still noted.
  defp plain_again?(module, %{plain: plain}), do: Source.loaded(module) in [nil, plain]

  defp load_all([], _loaded), do: :ok

  # It is noted before it is loaded: were this process killed in between, nobody would know whose code that is.
  defp load_all([next | rest], loaded) do
    before = modules()[next.module]
    put(next.module, %{plain: next.md5, functions: next.functions, pending: false, kept: kept(next)})

    case Loader.load(next.module, next.path, next.beam) do
      :ok ->
        Switches.get() |> Switches.forget([next.module]) |> Switches.apply()
        load_all(rest, [next | loaded])

      error ->
        if before, do: put(next.module, before), else: gone(next.module)
        # Those before it go back to what they were; where processes are in the way by now, that has to wait.
        left = loaded |> Enum.map(&plain/1) |> Enum.reject(&unload_one/1)
        if left != [], do: pending(left)
        error
    end
  end

  defp plain(made), do: %{module: made.module, path: made.path, beam: made.plain_beam, md5: made.md5}

  defp kept(made), do: if(:code.get_object_code(made.module) == :error, do: plain(made))

  defp unload_one(%{module: module, path: path, beam: beam}) do
    with :ok <- Loader.load(module, path, beam) do
      gone(module)
      Switches.get() |> Switches.forget([module]) |> Switches.apply()
      true
    else
      _in_use -> false
    end
  end

  defp pending(left) do
    for %{module: module, md5: md5} <- left do
      entry = Map.get(modules(), module, %{functions: [], kept: nil})
      put(module, Map.merge(entry, %{plain: md5, pending: true}))
    end

    wait()
    :pending
  end

  defp gone(module), do: :persistent_term.put(@modules, Map.delete(modules(), module))
  defp put(module, entry), do: :persistent_term.put(@modules, Map.put(modules(), module, entry))
  defp wait, do: Process.send_after(self(), :again, @again_ms)
end
