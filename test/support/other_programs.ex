defmodule ElixirScope.Test.OtherPrograms do
  @moduledoc """
  Programs that we did not write: each a script for a node of its own, which gives a term that is the same at every run.
  """

  alias ElixirScope.Test.OwnNode

  @doc """
  What a script gives plain, and what it gives with all functions of `modules` (an expression) recorded; with the latter how
  many events were recorded.
  """
  def both(modules, script) do
    plain = run(compile_anew(modules), script)
    recorded = run(instrument(modules), script)
    {plain.result, recorded.result, recorded.events}
  end

  # By this system's compiler, as the instrumented ones are: Elixir's own modules may come from an older one.
  defp compile_anew(modules) do
    "alias ElixirScope.Instrument.{Beam, Loader}; " <>
      "for module <- #{modules}, {:ok, beam} <- [Beam.read(File.read!(:code.which(module)))], do: " <>
      "({:ok, binary} = Beam.build(beam, beam.forms); :ok = Loader.load(module, :code.which(module), binary))"
  end

  defp instrument(modules) do
    # one line, as the plain program has in its place
    "modules = #{modules}; :ok = ElixirScope.instrument(modules, functions: :all, force: true)"
  end

  defp run(prepare, script) do
    {output, status} =
      OwnNode.run("""
      {:ok, _} = Application.ensure_all_started(:elixir_scope)
      :ok = ElixirScope.start()
      # all that answers it is loaded here: Mix takes other applications off the code path
      %{} = ElixirScope.status()
      #{prepare}
      result = (fn -> #{script} end).()
      told = %{result: result, events: ElixirScope.status().capture.events, faults: ElixirScope.status().faults.panics}
      IO.puts("\\nTOLD " <> Base.encode64(:erlang.term_to_binary(told)))
      """)

    with 0 <- status, [_, told] <- Regex.run(~r/^TOLD (.*)$/m, output) do
      %{faults: 0} = told |> Base.decode64!() |> :erlang.binary_to_term()
    else
      _failed -> raise "status #{status}:\n#{output}"
    end
  end

  def modules_of(app), do: "(Application.load(#{inspect(app)}); Application.spec(#{inspect(app)}, :modules))"

  @doc "Concurrent transactions, some of them aborted, a dump, and what is there after a restart."
  def mnesia do
    """
    Logger.configure(level: :error)
    dir = Path.join(System.tmp_dir!(), "scope-mnesia-\#{System.unique_integer([:positive])}-\#{System.pid()}")
    File.mkdir_p!(dir)
    Application.put_env(:mnesia, :dir, String.to_charlist(dir))
    :ok = :mnesia.create_schema([node()])
    :ok = :mnesia.start()
    {:atomic, :ok} = :mnesia.create_table(:account, attributes: [:id, :balance], disc_copies: [node()])
    {:atomic, :ok} = :mnesia.create_table(:log, type: :bag, attributes: [:id, :what], ram_copies: [node()], index: [:what])
    :ok = :mnesia.wait_for_tables([:account, :log], 5_000)
    for id <- 1..10, do: :mnesia.dirty_write({:account, id, 100})

    move = fn from, to, amount ->
      :mnesia.transaction(fn ->
        [{:account, ^from, had}] = :mnesia.read(:account, from, :write)
        if rem(amount, 5) == 0, do: :mnesia.abort({:refused, amount})
        if rem(amount, 7) == 0, do: raise("no \#{amount}")
        [{:account, ^to, has}] = :mnesia.wread({:account, to})
        :mnesia.write({:account, from, had - amount})
        :mnesia.write({:account, to, has + amount})
        :mnesia.transaction(fn -> :mnesia.write({:log, from, to}) end)
        amount
      end)
    end

    moved =
      for writer <- 1..4 do
        Task.async(fn ->
          for n <- 1..40 do
            from = rem(n * writer, 10) + 1
            to = rem(n * writer + writer, 10) + 1
            case move.(from, to, n) do
              {:aborted, {%RuntimeError{} = error, [{_, _, _, _} | _]}} -> error
              other -> other
            end
          end
        end)
      end
      |> Task.await_many(60_000)

    seen = fn ->
      {:atomic, all} = :mnesia.transaction(fn -> :mnesia.foldl(fn record, all -> [record | all] end, [], :account) end)
      Enum.sort(all)
    end

    before = seen.()
    logged = Enum.sort(:mnesia.dirty_select(:log, [{{:log, :"$1", :"$2"}, [{:<, :"$1", 5}], [:"$$"]}]))
    indexed = Enum.sort(:mnesia.dirty_index_read(:log, 3, :what))
    :dumped = :mnesia.dump_log()
    backup = String.to_charlist(Path.join(dir, "backup"))
    :ok = :mnesia.backup(backup)
    {:atomic, :ok} = :mnesia.clear_table(:account)
    {:atomic, _} = :mnesia.restore(backup, skip_tables: [:log])
    restored = seen.()
    :stopped = :mnesia.stop()
    :ok = :mnesia.start()
    :ok = :mnesia.wait_for_tables([:account], 5_000)
    again = seen.()
    wrong = [:mnesia.transaction(fn -> :mnesia.read(:none, 1) end), catch_exit(fn -> :mnesia.dirty_read(:none, 1) end)]
    :stopped = :mnesia.stop()
    File.rm_rf!(dir)
    {moved, before, logged, indexed, restored, again, wrong}
    """
    |> String.replace("catch_exit(fn -> ", "(try do ")
    |> String.replace(
      ":mnesia.dirty_read(:none, 1) end)]",
      ":mnesia.dirty_read(:none, 1) catch :exit, reason -> reason end)]"
    )
  end

  @doc "A server and its client, in one node."
  def inets do
    """
    Logger.configure(level: :error)
    dir = Path.join(System.tmp_dir!(), "scope-inets-\#{System.unique_integer([:positive])}-\#{System.pid()}")
    File.mkdir_p!(dir)
    File.write!(Path.join(dir, "index.html"), String.duplicate("hello ", 1_000))
    # the listing shows the minute
    File.touch!(Path.join(dir, "index.html"), {{2024, 1, 1}, {12, 0, 0}})
    {:ok, _} = Application.ensure_all_started(:inets)

    {:ok, server} =
      :inets.start(:httpd,
        port: 0,
        server_name: ~c"scope",
        server_root: String.to_charlist(dir),
        document_root: String.to_charlist(dir),
        bind_address: {127, 0, 0, 1},
        mime_types: [{~c"html", ~c"text/html"}]
      )

    [port: port] = :httpd.info(server, [:port])
    url = fn path -> String.to_charlist("http://127.0.0.1:\#{port}/\#{path}") end

    answer = fn
      {:ok, {status, headers, body}} ->
        {status, for({name, value} <- headers, name in [~c"content-type", ~c"content-length"], do: {name, value}), body}

      other ->
        other
    end

    fetched =
      for path <- ["index.html", "none.html", "index.html?a=b", ".."] do
        answer.(:httpc.request(:get, {url.(path), []}, [timeout: 10_000, ssl: []], []))
      end

    many = Task.await_many(for(_ <- 1..20, do: Task.async(fn -> answer.(:httpc.request(:get, {url.("index.html"), []}, [ssl: []], [])) end)), 60_000)
    posted = answer.(:httpc.request(:post, {url.("index.html"), [], ~c"text/plain", "x"}, [ssl: []], []))
    {:ok, request} = :httpc.request(:get, {url.("index.html"), []}, [ssl: []], sync: false)
    later = receive do: ({:http, {^request, {status, _, body}}} -> {status, byte_size(body)}), after: (10_000 -> :late)
    {:error, {:failed_connect, [_, {:inet, _, refused}]}} = :httpc.request(:get, {~c"http://127.0.0.1:1/", []}, [ssl: []], [])
    :ok = :inets.stop(:httpd, server)
    File.rm_rf!(dir)
    {fetched, Enum.uniq(many), posted, later, refused}
    """
  end

  @doc "A suite with passing, failing, skipped and crashing tests."
  def ex_unit do
    """
    Logger.configure(level: :none)
    ExUnit.start(autorun: false, seed: 1, colors: [enabled: false], formatters: [ExUnit.CLIFormatter])

    defmodule Scope.Suite do
      use ExUnit.Case, async: true
      doctest Keyword, only: [get: 3, delete: 2]
      setup_all do: {:ok, all: 1}
      setup context, do: {:ok, both: context.all + 1}
      describe "some" do
        test "passes", %{both: 2}, do: assert(1 + 1 == 2)
        test "fails", do: assert(%{a: [1, 2]} == %{a: [1, 3]})
        test "raises", do: raise("oh")
        test "receives", do: assert_receive(:never, 10)
        test "crashes", do: Task.await(Task.async(fn -> exit(:crashed) end))
        @tag :skip
        test "skipped", do: flunk()
        test "matches", do: assert({:ok, _} = {:error, 1})
        test "throws", do: throw(:ball)
        test "captures", do: assert(ExUnit.CaptureIO.capture_io(fn -> IO.write("said") end) == "said")
        test "raising is seen", do: assert_raise(ArgumentError, fn -> String.to_integer("x") end)
      end
    end

    output = ExUnit.CaptureIO.capture_io(fn -> Process.put(:ran, ExUnit.run()) end)
    output = Regex.replace(~r/Finished in.*|#PID<[^>]*>|#Reference<[^>]*>/, output, "")
    {Process.get(:ran), output}
    """
  end

  @doc "A project of its own, compiled, changed, compiled again, and once with an error."
  def mix do
    """
    dir = Path.join(System.tmp_dir!(), "scope-mix-\#{System.unique_integer([:positive])}-\#{System.pid()}")
    File.mkdir_p!(Path.join(dir, "lib"))
    File.mkdir_p!(Path.join(dir, "src"))
    write = fn name, text -> File.write!(Path.join(dir, name), text) end
    write.("mix.exs", "defmodule P.MixProject do\\nuse Mix.Project\\ndef project, do: [app: :p, version: \\"1.0.0\\"]\\nend")
    write.("lib/a.ex", "defmodule P.A do\\ndefstruct [:x]\\ndefmacro two, do: 2\\nend")
    write.("lib/b.ex", "defmodule P.B do\\nrequire P.A\\ndef f(%P.A{x: x}), do: {x, P.A.two(), :erl.g(1)}\\nend")
    write.("src/erl.erl", "-module(erl).\\n-export([g/1]).\\ng(X) -> X + 1.\\n")
    {:ok, _} = Application.ensure_all_started(:ex_unit)
    Mix.start()
    Mix.shell(Mix.Shell.Process)
    File.cd!(dir)
    Mix.Project.push(P.MixProject, "mix.exs") |> then(fn _ -> :ok end)
    """
    |> String.replace(
      "Mix.Project.push(P.MixProject, \"mix.exs\") |> then(fn _ -> :ok end)",
      """
      Code.compile_file("mix.exs")
      compile = fn ->
        Mix.Task.clear()
        ExUnit.CaptureIO.capture_io(:stderr, fn -> Process.put(:did, Mix.Task.run("compile", ["--return-errors"])) end)
        case Process.get(:did) do
          {status, diagnostics} -> {status, for(d <- diagnostics, do: {Path.basename(d.file), d.severity, d.position, d.message})}
          other -> other
        end
      end
      first = compile.()
      value = P.B.f(struct(P.A, x: 1))
      second = compile.()
      write.("lib/c.ex", "defmodule P.C do\\ndef f(unused), do: 1\\nend")
      third = compile.()
      write.("lib/c.ex", "defmodule P.C do\\ndef f(x), do: y\\nend")
      fourth = compile.()
      # that the app file was written anew depends on the second in which the sources were
      messages = for {:messages, list} <- [Process.info(self(), :messages)], {:mix_shell, kind, text} <- list, text != ["Generated p app"], do: {kind, text}
      beams = Path.wildcard("_build/dev/lib/p/ebin/*") |> Enum.map(&Path.basename/1)
      File.cd!("/")
      File.rm_rf!(dir)
      {first, value, second, third, fourth, messages, beams}
      """
    )
  end

  @doc "Templates, with errors in some of them."
  def eex do
    """
    templates = [
      "a <%= 1 + @x %> b",
      "<%= for n <- 1..3 do %><%= n %>,<% end %>",
      "<%= if @x > 1 do %>more<% else %>less\\n<% end %>",
      "<%# no %><%% kept %> <% y = @x %>\\n<%= y %>",
      "<%= raise \\"in\\" %>",
      "<%= for",
      "<% end %>",
      "<%= case @x do %><% 1 -> %>one<% _ -> %>other<% end %>"
    ]

    for template <- templates, trim <- [true, false] do
      try do
        {EEx.eval_string(template, [assigns: %{x: 1}], trim: trim, file: "t.eex"), EEx.Compiler.compile(template, [])}
      rescue
        error -> {error, for({module, function, arity, _} <- __STACKTRACE__, do: {module, function, is_list(arity) || arity})}
      end
    end
    """
  end

  @doc "A state machine with timeouts, postponed events, replies, a crash and a change of its callback's answers."
  def gen_statem do
    """
    Logger.configure(level: :none)

    defmodule Scope.Door do
      @behaviour :gen_statem
      def callback_mode, do: [:state_functions, :state_enter]
      def init(code), do: {:ok, :locked, %{code: code, seen: []}}
      def locked(:enter, old, data), do: {:keep_state, seen(data, {:enter, old})}
      def locked({:call, from}, {:try, code}, %{code: code} = data), do: {:next_state, :open, data, [{:reply, from, :opened}, {:state_timeout, 20, :close}]}
      def locked({:call, from}, {:try, _}, data), do: {:keep_state, seen(data, :wrong), {:reply, from, :wrong}}
      def locked(:cast, :later, _), do: {:keep_state_and_data, :postpone}
      def locked({:call, from}, :seen, data), do: {:keep_state_and_data, {:reply, from, data.seen}}
      def locked({:call, _}, :crash, _), do: raise("crashed")
      def open(:enter, old, data), do: {:keep_state, seen(data, {:enter, old})}
      def open(:cast, :later, data), do: {:keep_state, seen(data, :later)}
      def open(:state_timeout, :close, data), do: {:next_state, :locked, data}
      def open({:call, from}, :seen, data), do: {:repeat_state, data, {:reply, from, data.seen}}
      def open(:info, _, _), do: :keep_state_and_data
      defp seen(data, what), do: %{data | seen: [what | data.seen]}
    end

    {:ok, door} = :gen_statem.start(Scope.Door, 7, [])
    wrong = :gen_statem.call(door, {:try, 1})
    :gen_statem.cast(door, :later)
    opened = :gen_statem.call(door, {:try, 7})
    seen = :gen_statem.call(door, :seen)
    Process.sleep(60)
    closed = :gen_statem.call(door, :seen)
    status = :sys.get_state(door)
    crash = try do :gen_statem.call(door, :crash) catch :exit, {{reason, stack}, {_, _, [_ | call]}} -> {reason, stack, call} end
    timeout = try do :gen_statem.call(self(), :never, 10) catch kind, reason -> {kind, elem(reason, 0)} end
    {:error, stopped} = :gen_statem.start(Scope.Door, 7, [{:no_such_option, 1}]) |> then(fn {:ok, pid} -> {:error, :gen_statem.stop(pid)} end)
    {wrong, opened, seen, closed, status, crash, timeout, stopped}
    """
  end

  @doc "Functions of `modules` with some of `arguments`, random from the seed: results and errors with their stack traces."
  def calls(modules, arguments) do
    """
    :rand.seed(:exsss, {#{ExUnit.configuration()[:seed]}, 1, 4})
    arguments = #{arguments}
    normal = fn normal, term ->
      cond do
        is_function(term) -> {:fun, Function.info(term, :arity)}
        is_list(term) and List.improper?(term) -> :improper
        is_list(term) -> Enum.map(term, &normal.(normal, &1))
        is_tuple(term) -> term |> Tuple.to_list() |> Enum.map(&normal.(normal, &1)) |> List.to_tuple()
        is_pid(term) or is_reference(term) -> :one
        is_map(term) -> {:map, normal.(normal, Map.to_list(term))}
        true -> term
      end
    end

    # those that wait, that make what no two runs share, or that change the node
    skipped = [:random, :shuffle, :take_random, :module_info, :__info__, :ctl, :behaviour_info, :to_atom, :to_existing_atom, :utc_now, :utc_today, :local_now]

    for module <- #{modules}, {function, arity} <- Enum.sort(module.module_info(:exports)), function not in skipped, not String.starts_with?(Atom.to_string(function), "MACRO"), _ <- 1..4 do
      args = for _ <- 1..arity//1, do: Enum.random(arguments)
      task = Task.async(fn ->
        :rand.seed(:exsss, {1, 2, 3})
        try do
          {:ok, apply(module, function, args)}
        catch
          kind, reason -> {kind, reason, Enum.take_while(__STACKTRACE__, &(elem(&1, 0) != Task.Supervised))}
        end
      end)
      told = case Task.yield(task, 100) || Task.shutdown(task, :brutal_kill) do
        {:ok, told} -> told
        other -> other
      end
      {module, function, normal.(normal, args), normal.(normal, told)}
    end
    """
  end
end
