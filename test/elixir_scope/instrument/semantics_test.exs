defmodule ElixirScope.Instrument.SemanticsTest do
  use ElixirScope.Test.RecorderCase

  import ElixirScope.Test.Instrumented

  @moduletag capture_log: true
  @moduletag timeout: 120_000

  setup do
    on_exit(fn -> unload(Scope.Sample) end)
  end

  # -- Tail calls -----------------------------------------------------------------------------------------------------------

  @loops """
  defmodule Scope.Sample do
    # each of them ends with the words that its process has in use
    def self(0, fun), do: fun.()
    def self(n, fun), do: self(n - 1, fun)

    def mutual(0, fun), do: fun.()
    def mutual(n, fun), do: other(n - 1, fun)
    defp other(0, fun), do: fun.()
    defp other(n, fun), do: mutual(n - 1, fun)

    def remote(0, fun), do: fun.()
    def remote(n, fun), do: __MODULE__.remote(n - 1, fun)

    def applied(0, fun), do: fun.()
    def applied(n, fun), do: apply(__MODULE__, :applied, [n - 1, fun])

    def through_case(n, fun) do
      case n do
        0 -> fun.()
        n -> through_case(n - 1, fun)
      end
    end

    def through_if(n, fun), do: if(n == 0, do: fun.(), else: through_if(n - 1, fun))

    def through_cond(n, fun) do
      cond do
        n == 0 -> fun.()
        true -> through_cond(n - 1, fun)
      end
    end

    def through_with(n, fun) do
      with {:ok, more} <- less(n) do
        through_with(more, fun)
      else
        :none -> fun.()
      end
    end

    defp less(0), do: :none
    defp less(n), do: {:ok, n - 1}

    def through_receive(0, fun), do: fun.()

    def through_receive(n, fun) do
      send(self(), n)

      receive do
        ^n -> through_receive(n - 1, fun)
      end
    end

    def through_receive_after(0, fun), do: fun.()

    def through_receive_after(n, fun) do
      receive do
        :never -> :never
      after
        0 -> through_receive_after(n - 1, fun)
      end
    end

    def through_try(n, fun) do
      try do
        less(n)
      catch
        _ -> :caught
      else
        {:ok, more} -> through_try(more, fun)
        :none -> fun.()
      end
    end

    def through_rescue(0, fun), do: fun.()

    def through_rescue(n, fun) do
      try do
        raise "no"
      rescue
        _ -> through_rescue(n - 1, fun)
      end
    end

    def through_and(n, fun), do: is_integer(n) and through_or(n, fun)
    defp through_or(n, fun), do: n < 0 or through_unless(n, fun)
    defp through_unless(0, fun), do: fun.()
    defp through_unless(n, fun), do: unless(n < 0, do: through_and(n - 1, fun))

    def through_then(0, fun), do: fun.()
    def through_then(n, fun), do: n |> then(fn m -> through_then(m - 1, fun) end)

    def through_funs(0, fun), do: fun.()

    def through_funs(n, fun) do
      next = &through_funs/2
      next.(n - 1, fun)
    end

    def through_variable(0, fun), do: fun.()

    def through_variable(n, fun) do
      module = ElixirScope.Test.Stage.this(__MODULE__)
      module.through_variable(n - 1, fun)
    end
  end
  """

  defp words do
    :erlang.garbage_collect()
    {:total_heap_size, heap} = Process.info(self(), :total_heap_size)
    {:stack_size, stack} = Process.info(self(), :stack_size)
    {heap, stack}
  end

  test "10 million tail calls, entry and exit recorded, take no memory" do
    {module, beam} = beam(@loops)
    load(module, instrument(beam))

    assert {heap, stack} = apart(fn -> module.self(10_000_000, &words/0) end)
    assert heap < 10_000 and stack < 100
    assert ElixirScope.status().capture.events > 19_000_000
  end

  test "tail calls through every construct that keeps them take no memory" do
    {module, beam} = beam(@loops)
    load(module, instrument(beam))

    for {function, 2} <- module.__info__(:functions), function != :self do
      {heap, stack} = apart(fn -> apply(module, function, [200_000, &words/0]) end)
      assert {function, true} == {function, heap < 10_000 and stack < 100}
    end
  end

  test "a callback that calls itself last takes no memory" do
    {module, beam} =
      beam("""
      defmodule Scope.Sample do
        use GenServer
        def init(n), do: {:ok, n}
        def handle_info({0, fun}, state), do: {:noreply, {state, fun.()}}
        def handle_info({n, fun}, state), do: handle_info({n - 1, fun}, state + 1)
        def handle_call(:get, _from, state), do: {:reply, state, state}
      end
      """)

    load(module, instrument(beam))
    {:ok, server} = GenServer.start_link(module, 0)
    send(server, {200_000, &words/0})
    assert {200_000, {heap, stack}} = GenServer.call(server, :get, :infinity)
    assert heap < 10_000 and stack < 200

    # in the same order as the callback's last call answered
    assert [%{new_state: {200_000, _}}] = ElixirScope.get_events(event_type: :state_change, limit: 1)

    GenServer.stop(server)
  end

  # -- Stack traces ---------------------------------------------------------------------------------------------------------

  @traces """
  defmodule Scope.Sample do
    def comprehension(list), do: for(x <- list, do: hd(x))
    def binary(list), do: for(x <- list, into: "", do: <<hd(x)>>)
    def nested([]), do: hd(ElixirScope.Test.Stage.this([]))
    def nested(list), do: for(_ <- list, do: nested(tl(list)))
    def deep(0, list), do: comprehension(list)
    def deep(n, list), do: [deep(n - 1, list)]
    def applied(x), do: x |> then(fn y -> [hd(y)] end)
    def applied_last(x), do: x |> then(fn y -> comprehension(y) end)
    def match(x), do: {:ok, _} = x
    def case(x), do: case(x, do: (:ok -> 1))
    def with(x), do: with({:ok, y} <- x, do: y, else: (:error -> 2))
    def cond(x), do: cond(do: (is_list(x) -> 1))
    def clause(x, y)

    def clause(:a, _), do: 1
    def clause(x, y) when is_list(x), do: y
    defp hidden(1), do: 1
    def calls_hidden(x), do: [hidden(x)]
    def inside(x), do: (try do hd(x) rescue _ -> __STACKTRACE__ end)
    def again(x), do: (try do clause(x, 1) rescue error -> reraise(error, __STACKTRACE__) end)
    def spawned(x), do: spawn(x, :f, [])
    def frames(x), do: (case x do 0 -> throw(:up); -1 -> :never; n -> [frames(n - 1)] end)
    def over(x), do: (catch_it(fn -> [frames(x)] end))
    defp catch_it(fun), do: (try do fun.() catch kind, value -> {kind, value, __STACKTRACE__} end)
  end
  """

  for {call, args} <- [
        comprehension: [[[1], 2]],
        comprehension: [3],
        binary: [[[1], 2]],
        nested: [[1, 2, 3]],
        deep: [3, [1]],
        # more frames than a stack trace holds
        deep: [12, [1]],
        comprehension: [List.duplicate([1], 20) ++ [2]],
        applied: [1],
        applied_last: [[1]],
        match: [:error],
        case: [:error],
        with: [3],
        cond: [3],
        clause: [1, 2],
        calls_hidden: [3],
        inside: [3],
        again: [3],
        spawned: [3],
        frames: [5],
        over: [3]
      ] do
    @call {call, args}
    test "the error of #{call}(#{Enum.map_join(args, ", ", &inspect(&1, limit: 3))}) is the same, with its stack trace and blame" do
      {function, args} = @call

      {plain, instrumented} =
        both(beam(@traces), fn module ->
          apart(fn ->
            try do
              apply(module, function, args)
            catch
              kind, reason -> {kind, reason, __STACKTRACE__, Exception.blame(kind, reason, __STACKTRACE__)}
            end
          end)
        end)

      assert plain == instrumented
    end
  end

  # -- What a module tells of itself ----------------------------------------------------------------------------------------

  @rich """
  defmodule Scope.Sample do
    @moduledoc "What it is."
    @behaviour GenServer
    @custom [:kept]
    Module.register_attribute(__MODULE__, :custom, persist: true)
    @custom [:persisted]
    @on_load :loaded
    defstruct [:a, b: 2]
    @type t :: %__MODULE__{a: integer}
    @callback called(t) :: atom

    @doc "Has a default."
    @doc since: "1.0.0"
    @spec add(integer, integer) :: integer
    def add(x, y \\\\ 2), do: x + y
    defdelegate upcase(text), to: String
    defmacro twice(x), do: quote(do: unquote(x) * 2)
    defguard is_small(x) when x < 10
    def init(_), do: {:ok, %__MODULE__{}}
    def captured, do: &add/2
    def remote, do: &__MODULE__.add/2
    def loaded, do: :persistent_term.put(__MODULE__, :persistent_term.get(__MODULE__, 0) + 1)
  end
  """

  test "a module tells the same of itself, in memory and on disk" do
    {module, beam} = beam(@rich)
    recorded = instrument(beam)

    told = fn module ->
      %{
        attributes: module.module_info(:attributes),
        compile: module.module_info(:compile),
        exports: Enum.sort(module.module_info(:exports)),
        functions: module.__info__(:functions),
        macros: module.__info__(:macros),
        struct: struct(module, a: 1),
        default: module.add(1),
        delegated: module.upcase("a"),
        same_fun?: module.captured() == module.captured(),
        remote: module.remote()
      }
    end

    assert {plain, plain} = both({module, beam}, told)

    for chunk <- [:debug_info, :attributes, :compile_info, :exports] do
      assert {chunk, :beam_lib.chunks(beam, [chunk])} == {chunk, :beam_lib.chunks(recorded, [chunk])}
    end

    for name <- [~c"Docs", ~c"ExCk", ~c"Dbgi"] do
      assert :beam_lib.chunks(beam, [name]) == :beam_lib.chunks(recorded, [name])
    end

    assert Code.Typespec.fetch_specs(beam) == Code.Typespec.fetch_specs(recorded)
    assert Code.Typespec.fetch_types(beam) == Code.Typespec.fetch_types(recorded)
    assert Code.Typespec.fetch_callbacks(beam) == Code.Typespec.fetch_callbacks(recorded)
  after
    :persistent_term.erase(Scope.Sample)
  end

  test "@on_load runs, and a module whose @on_load fails is not loaded" do
    {module, beam} = beam(@rich)
    :persistent_term.put(module, 0)
    load(module, instrument(beam))
    assert :persistent_term.get(module) == 1

    {module, beam} =
      beam(
        "defmodule Scope.Sample do\n@on_load :refuse\ndef refuse, do: System.get_env(\"NO_SUCH\") && :ok\nend"
      )

    assert {:error, :on_load_failure} = :code.load_binary(module, ~c"x.beam", instrument(beam))
  after
    :persistent_term.erase(Scope.Sample)
  end

  # -- Memory and time ------------------------------------------------------------------------------------------------------

  test "binaries that are matched or appended to byte by byte stay linear" do
    {module, beam} =
      beam("""
      defmodule Scope.Sample do
        def sum(<<byte, rest::binary>>, acc), do: sum(rest, acc + byte)
        def sum(<<>>, acc), do: acc
        def append(0, acc), do: byte_size(acc)
        def append(n, acc), do: append(n - 1, <<acc::binary, 7>>)
        def build(n), do: for(i <- 1..n, into: "", do: <<i>>)
      end
      """)

    load(module, instrument(beam))

    reductions = fn n ->
      apart(fn ->
        binary = :binary.copy("x", n)
        {_, before} = Process.info(self(), :reductions)
        assert module.sum(binary, 0) == n * ?x
        assert module.append(n, "") == n
        assert byte_size(module.build(n)) == n
        {_, now} = Process.info(self(), :reductions)
        {:binary, held} = Process.info(self(), :binary)
        assert length(held) < 1_000
        now - before
      end)
    end

    # copying the binary at each step would make this some hundreds
    {small, large} = {time(fn -> reductions.(10_000) end), time(fn -> reductions.(200_000) end)}
    assert large < small * 120
  end

  defp time(fun) do
    fun.()
    Enum.min(for _ <- 1..2, do: fun |> :timer.tc() |> elem(0))
  end

  @receives """
  defmodule Scope.Sample do
    def here(to) do
      ref = make_ref()
      send(to, {:please, self(), ref})
      receive do
        {^ref, answer} -> answer
      end
    end

    def called(to) do
      ref = make_ref()
      send(to, {:please, self(), ref})
      [wait(ref)]
    end

    def last(to) do
      ref = make_ref()
      send(to, {:please, self(), ref})
      wait(ref)
    end

    def monitored(to) do
      ref = Process.monitor(to)
      send(to, {:please, self(), ref})
      wait(ref)
    end

    def prepared(to) do
      {:pid, pid} = {:pid, hd(for to <- [to], do: to)}
      first = make_ref()
      send(to, {:nobody, first})
      ref = Process.monitor(pid)
      send(pid, {:please, self(), ref})
      wait(ref)
    end

    defp wait(ref) do
      receive do
        {^ref, answer} -> answer
      end
    end
  end
  """

  for function <- [:here, :called, :last, :monitored, :prepared] do
    test "a receive that waits for a new reference skips a large mailbox: #{function}" do
      {module, beam} = beam(@receives)
      answering = spawn_link(fn -> answer() end)

      per_call = fn waiting ->
        apart(fn ->
          for n <- 1..waiting, do: send(self(), {:waiting, n})
          for _ <- 1..3, do: apply(module, unquote(function), [answering])
          {us, _} = :timer.tc(fn -> for _ <- 1..20, do: apply(module, unquote(function), [answering]) end)
          us
        end)
      end

      load(module, beam)
      plain = per_call.(200_000)
      load(module, instrument(beam))
      instrumented = per_call.(200_000)

      # a scan of the mailbox takes some milliseconds for each call
      assert instrumented < plain * 10 + 10_000
    end
  end

  defp answer do
    receive do
      {:please, from, ref} -> send(from, {ref, :answer})
      {:nobody, _ref} -> :ok
    end

    answer()
  end

  # -- Processes ------------------------------------------------------------------------------------------------------------

  test "a process that hibernates again and again does not sink deeper" do
    {module, beam} =
      beam("""
      defmodule Scope.Sample do
        def outer(n, to), do: [inner(n, to)]
        defp inner(n, to), do: {sleep(n, to)}
        defp sleep(n, to) do
          send(self(), :wake)
          :erlang.hibernate(__MODULE__, :awake, [n, to])
        end
        def awake(n, to) do
          receive do: (:wake -> :ok)
          if n == 0, do: send(to, {:done, leaf(1)}), else: outer(n - 1, to)
        end
        def leaf(x), do: x
      end
      """)

    load(module, instrument(beam))
    test = self()
    pid = spawn(fn -> module.outer(70_000, test) end)
    assert_receive {:done, 1}, 30_000

    # not inside of what it did before it slept
    assert [leaf] = ElixirScope.get_events(pid: pid, event_type: :function_entry, function: :leaf)

    assert [%{function: :awake, parent_id: nil}] =
             ElixirScope.get_events(pid: pid, event_type: :function_entry, order: :desc, limit: 2)
             |> Enum.filter(&(&1.call_id == leaf.parent_id))
  end

  test "an instrumented loop takes a new version of its code" do
    loop = fn version ->
      beam("""
      defmodule Scope.Sample do
        def loop(count) do
          receive do
            {:version, from} -> send(from, {:version, #{version}, count}); loop(count)
            :upgrade -> __MODULE__.loop(count + 1)
          end
        end
      end
      """)
    end

    {_module, first} = loop.(1)
    {module, second} = loop.(2)
    load(module, instrument(first))
    pid = spawn_link(fn -> module.loop(0) end)

    ask = fn ->
      send(pid, {:version, self()})
      assert_receive {:version, _, _}
    end

    assert {:version, 1, 0} = ask.()
    {:module, _} = :code.load_binary(module, ~c"x.beam", instrument(second))
    assert {:version, 1, 0} = ask.()
    send(pid, :upgrade)
    assert {:version, 2, 1} = ask.()
    assert :code.soft_purge(module)
    Process.unlink(pid)
    Process.exit(pid, :kill)
  end

  test "protocols and their implementations dispatch as before" do
    for text <- [
          "defprotocol Scope.Sample do\n@fallback_to_any true\ndef told(x)\nend",
          "defimpl Scope.Sample, for: Integer do\ndef told(x), do: {:integer, x}\nend",
          "defimpl Scope.Sample, for: Any do\ndef told(x), do: {:any, x}\nend"
        ] do
      {module, beam} = beam(text)
      load(module, instrument(beam))
    end

    protocol = ElixirScope.Test.Stage.this(Scope.Sample)
    assert {protocol.told(1), protocol.told("a")} == {{:integer, 1}, {:any, "a"}}
    assert protocol.impl_for(2) == Scope.Sample.Integer
  after
    unload(Scope.Sample.Integer)
    unload(Scope.Sample.Any)
  end

  test "a function of thousands of clauses stays as it is, those around it do not" do
    clauses = for n <- 1..2_501, do: "def table(#{n}), do: {#{n}, :of_many}\n"

    {module, beam} =
      ElixirScope.Test.Instrumented.beam(
        "defmodule ElixirScopeTest.Vast do\n#{clauses}def ask(n), do: [table(n)]\nend"
      )

    {:ok, plan} = ElixirScope.Instrument.Plan.new(strategy: :full_trace)
    {:ok, made} = ElixirScope.Instrument.Engine.instrument(beam, plan)
    assert made.functions == [ask: 1]

    assert {same, same} =
             ElixirScope.Test.Instrumented.both({module, beam}, &for(n <- [1, 2_501], do: &1.ask(n)))

    assert same == [[{1, :of_many}], [{2_501, :of_many}]]
    ElixirScope.Test.Instrumented.unload(module)
  end
end
