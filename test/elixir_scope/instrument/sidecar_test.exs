defmodule ElixirScope.Instrument.SidecarTest do
  # loads code into this VM
  use ExUnit.Case, async: false

  alias ElixirScope.Instrument.{Engine, Loader, Plan, Sidecar}
  alias ElixirScope.Instrument.Sidecar.{Content, Index}

  setup do
    ebin =
      Path.join(
        System.tmp_dir!(),
        "elixir_scope-sidecar-#{System.pid()}-#{System.unique_integer([:positive])}"
      )

    File.mkdir_p!(ebin)
    ebin = Path.expand(ebin)
    # a project file older than all that is written here
    project = Path.join(ebin, "mix.exs")
    File.write!(project, "")
    File.touch!(project, {{2020, 1, 1}, {0, 0, 0}})

    on_exit(fn ->
      for path <- Path.wildcard(Path.join(ebin, "*.beam")),
          module = path |> Path.basename(".beam") |> String.to_atom() do
        :code.purge(module)
        :code.delete(module)
        :code.purge(module)
      end

      File.rm_rf!(ebin)
      Sidecar.refresh([ebin])
    end)

    %{ebin: ebin, project: project}
  end

  # A module as a compiler leaves it: in a file, and not loaded.
  defp compile(ebin, name, body) do
    module = Module.concat([SidecarTest, name])

    forms = [
      {:attribute, 1, :module, module},
      {:attribute, 2, :export, [value: 0, wait: 1]},
      {:function, 3, :value, 0, [{:clause, 3, [], [], [:erl_parse.abstract(body, 3)]}]},
      {:function, 5, :wait, 1,
       [
         {:clause, 5, [{:var, 5, :P}], [],
          [
            {:call, 6, {:remote, 6, {:atom, 6, :erlang}, {:atom, 6, :send}},
             [{:var, 6, :P}, {:atom, 6, :ready}]},
            {:receive, 7, [{:clause, 7, [{:atom, 7, :go}], [], [{:atom, 7, :ok}]}]}
          ]}
       ]}
    ]

    {:ok, ^module, beam} = :compile.forms(forms, [:debug_info])
    File.write!(Path.join(ebin, "#{module}.beam"), beam)
    {module, beam}
  end

  defp instrument(context, modules, strategy \\ :balanced) do
    {:ok, plan} = Plan.new(strategy: strategy, messages: false)

    for {_module, beam} <- modules do
      {:ok, made} = Engine.instrument(beam, plan)
      {:ok, content} = Content.new(beam, made, Plan.digest(plan))
      {:ok, _size} = Content.write(context.ebin, content)
    end

    index(context, modules)
  end

  defp index(%{ebin: ebin, project: project}, modules) do
    names = for {module, _beam} <- modules, do: Atom.to_string(module)
    :ok = Index.write(ebin, %Index{owner: "sidecar_test", at: ebin, project: project, modules: names})
  end

  defp status(module), do: Enum.find_value(Sidecar.report(), &(&1.module == module and &1.status))

  defp plain?(module, beam), do: {:ok, {module, module.module_info(:md5)}} == :beam_lib.md5(beam)

  defp load(ebin, module, beam),
    do: :ok = Loader.load(module, String.to_charlist(Path.join(ebin, "#{module}.beam")), beam)

  describe "a sidecar's file" do
    test "comes back as it was written, without what no running code needs", %{ebin: ebin} = context do
      {module, beam} = compile(ebin, :Whole, 1)
      instrument(context, [{module, beam}])
      assert {:ok, content} = Content.read(ebin, module)
      assert Content.digests(beam) == {:ok, Map.take(content, [:md5, :lines, :attributes])}
      assert {:ok, {module, content.instrumented}} == :beam_lib.md5(content.beam)
      assert Content.unpack(Content.pack(content)) == {:ok, content}

      assert {:error, :beam_lib, {:missing_chunk, _beam, ~c"Dbgi"}} =
               :beam_lib.chunks(content.beam, [~c"Dbgi"])
    end

    test "with any byte changed, or cut anywhere, is an error", %{ebin: ebin} = context do
      {module, beam} = compile(ebin, :Broken, 1)
      instrument(context, [{module, beam}])
      whole = File.read!(Content.path(ebin, module))

      for at <- 0..(byte_size(whole) - 1) do
        assert {:error, _reason} = Content.unpack(binary_part(whole, 0, at))
        rest = binary_part(whole, at + 1, byte_size(whole) - at - 1)
        changed = Bitwise.bxor(:binary.at(whole, at), 0x11)

        assert {:error, _reason} =
                 Content.unpack(<<binary_part(whole, 0, at)::binary, changed, rest::binary>>)
      end

      assert {:error, _reason} = Content.unpack(whole <> <<0>>)
      assert {:error, {:version, 77}} = Content.unpack("elixir_scope sidecar\n" <> <<77::16, 0::400>>)
    end

    test "under the name of another module is an error", %{ebin: ebin} = context do
      {module, beam} = compile(ebin, :Mine, 1)
      instrument(context, [{module, beam}])
      File.cp!(Content.path(ebin, module), Content.path(ebin, :other))
      assert Content.read(ebin, :other) == {:error, :damaged}
    end

    test "is made of its beam, and of that stripped; not of code with other lines or attributes",
         %{ebin: ebin} = context do
      {module, beam} = compile(ebin, :Stripped, 1)
      instrument(context, [{module, beam}])
      {:ok, content} = Content.read(ebin, module)

      {:ok, {^module, by_otp}} = :beam_lib.strip(beam)
      {:ok, by_mix} = Mix.Release.strip_beam(beam, compress: true)
      for stripped <- [by_otp, by_mix], do: assert(Content.made_of?(content, stripped))

      {:ok, _module, chunks} = :beam_lib.all_chunks(beam)

      for part <- [~c"Line", ~c"Attr"] do
        {:ok, other} =
          :beam_lib.build_module(
            for {id, data} <- chunks, do: {id, if(id == part, do: data <> <<0>>, else: data)}
          )

        assert :beam_lib.md5(other) == :beam_lib.md5(beam)
        refute Content.made_of?(content, other)
      end

      refute Content.made_of?(content, "no beam")
    end
  end

  describe "an index" do
    test "that is cut anywhere is an error, and none where there is none", %{ebin: ebin} = context do
      assert Index.read(ebin) == {:error, :none}
      assert Index.read(Path.join(ebin, "mix.exs")) == {:error, :none}
      index(context, for(n <- 1..20, do: {:"m#{n}", ""}))
      assert {:ok, %Index{owner: "sidecar_test", modules: ["m1" | _]}} = Index.read(ebin)
      whole = File.read!(Index.path(ebin))

      for at <- 0..(byte_size(whole) - 1) do
        File.write!(Index.path(ebin), binary_part(whole, 0, at))
        assert Index.read(ebin) == {:error, :damaged}
      end
    end

    test "is stale where the project's file is newer, in its own place only",
         %{ebin: ebin, project: project} = context do
      index(context, [{:m, ""}])
      {:ok, index} = Index.read(ebin)
      refute Index.stale?(ebin, index)
      File.touch!(project, System.os_time(:second) + 100)
      assert Index.stale?(ebin, index)
      copy = Path.join(ebin, "copy")
      File.mkdir!(copy)
      File.cp!(Index.path(ebin), Index.path(copy))
      refute Index.stale?(copy, index)
      # confirmed, even against a time to come
      :ok = Index.write(ebin, index)
      refute Index.stale?(ebin, index)
    end
  end

  describe "refresh/1" do
    test "loads what is not loaded, and what is loaded plain; without a sidecar plain code comes back",
         context do
      {idle, idle_beam} = compile(context.ebin, :Idle, 1)
      {used, used_beam} = compile(context.ebin, :Used, 2)
      load(context.ebin, used, used_beam)
      instrument(context, [{idle, idle_beam}, {used, used_beam}])

      Sidecar.refresh([context.ebin])
      assert {status(idle), status(used)} == {:loaded, :loaded}
      assert {idle.value(), used.value()} == {1, 2}
      refute plain?(idle, idle_beam) or plain?(used, used_beam)
      assert :code.which(used) == String.to_charlist(Path.join(context.ebin, "#{used}.beam"))

      index(context, [{idle, idle_beam}])
      Sidecar.refresh([context.ebin])
      assert {status(idle), status(used)} == {:loaded, nil}
      assert plain?(used, used_beam)

      Index.remove(context.ebin)
      Sidecar.refresh([context.ebin])
      assert plain?(idle, idle_beam)
    end

    test "brings back what a compiler loaded plain again, and what was purged", context do
      {module, beam} = compile(context.ebin, :Purged, 1)
      instrument(context, [{module, beam}])
      Sidecar.refresh([context.ebin])
      load(context.ebin, module, beam)
      assert status(module) == {:plain, :replaced}
      Sidecar.refresh([context.ebin])
      assert status(module) == :loaded

      :code.purge(module)
      :code.delete(module)
      Sidecar.refresh([context.ebin])
      assert status(module) == :loaded
      refute plain?(module, beam)
    end

    test "lets instrument/2 and uninstrument/1 know the plain code", context do
      {module, beam} = compile(context.ebin, :Live, 1)
      :code.add_patha(String.to_charlist(context.ebin))
      on_exit(fn -> :code.del_path(String.to_charlist(context.ebin)) end)
      instrument(context, [{module, beam}])
      Sidecar.refresh([context.ebin])

      ElixirScope.start()
      on_exit(&ElixirScope.stop/0)
      assert ElixirScope.uninstrument(module) == :ok
      assert plain?(module, beam)
      Sidecar.refresh([context.ebin])
      assert plain?(module, beam)

      # what was made on the running node goes before the sidecar, until that is another one
      assert ElixirScope.instrument(module, functions: [:wait]) == :ok
      live = module.module_info(:md5)
      Sidecar.refresh([context.ebin])
      assert module.module_info(:md5) == live
      instrument(context, [{module, beam}], :full_trace)
      Sidecar.refresh([context.ebin])
      assert status(module) == :loaded
      assert ElixirScope.uninstrument(module) == :ok
      assert plain?(module, beam)
    end

    test "takes a sidecar made by another plan for the one that is loaded", context do
      {module, beam} = compile(context.ebin, :Plan, 1)
      instrument(context, [{module, beam}], :minimal)
      Sidecar.refresh([context.ebin])
      before = module.module_info(:md5)
      instrument(context, [{module, beam}], :balanced)
      Sidecar.refresh([context.ebin])
      assert status(module) == :loaded
      refute module.module_info(:md5) == before
    end

    test "never ends a process: where old code is in use, the loaded code stays and the processes are named",
         context do
      {module, beam} = compile(context.ebin, :Held, 1)
      load(context.ebin, module, beam)
      test = self()
      pid = spawn_link(fn -> module.wait(test) end)
      assert_receive :ready
      # the process is in old code from here on
      {^module, again} = compile(context.ebin, :Held, 2)
      load(context.ebin, module, again)
      instrument(context, [{module, again}])

      Sidecar.refresh([context.ebin])
      assert status(module) == {:plain, {:old_code_in_use, [pid]}}
      assert module.value() == 2
      send(pid, :go)
      monitor = Process.monitor(pid)
      assert_receive {:DOWN, ^monitor, :process, ^pid, _normal}

      Sidecar.refresh([context.ebin])
      assert status(module) == :loaded
    end

    test "loads nothing that was not made of the code that is there", context do
      {module, beam} = compile(context.ebin, :Changed, 1)
      instrument(context, [{module, beam}])
      {^module, other} = compile(context.ebin, :Changed, :other)
      Sidecar.refresh([context.ebin])
      assert status(module) == {:plain, :changed}
      refute :erlang.module_loaded(module)

      # on disk what it was made of, loaded what is not on disk
      File.write!(Path.join(context.ebin, "#{module}.beam"), beam)
      load(context.ebin, module, other)
      Sidecar.refresh([context.ebin])
      assert status(module) == {:plain, :other_code}
      assert module.value() == :other

      File.rm!(Path.join(context.ebin, "#{module}.beam"))
      Sidecar.refresh([context.ebin])
      assert status(module) == {:plain, :no_beam}
    end

    test "loads nothing after the project's file was changed", context do
      {module, beam} = compile(context.ebin, :Project, 1)
      instrument(context, [{module, beam}])
      Sidecar.refresh([context.ebin])
      File.touch!(context.project, System.os_time(:second) + 100)
      Sidecar.refresh([context.ebin])
      assert status(module) == {:plain, :project_changed}
      assert plain?(module, beam)
    end
  end
end
