defmodule ElixirScope.ExportPerfettoTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.{Error, Export}
  alias ElixirScope.Test.{Flows, Perfetto}

  require Trace

  doctest ElixirScope.Export, except: [:moduledoc]

  setup do
    folder = Path.join(System.tmp_dir!(), "elixir_scope_export_#{System.unique_integer([:positive])}")
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)
    %{folder: folder, path: Path.join(folder, "tape.pftrace")}
  end

  defp work(n) do
    Trace.span "outer", %{n: n} do
      Trace.span "inner", %{n: n} do
        Trace.event(:step, %{n: n, text: "ä"})
      end
    end
  end

  defp in_process(fun), do: fun |> Task.async() |> Task.await(:infinity)

  defp exported(path, opts \\ []) do
    {:ok, written} = Export.perfetto([path: path] ++ opts)
    assert %{path: ^path, bytes: bytes} = written
    assert File.stat!(path).size == bytes
    {written, Perfetto.read(path)}
  end

  test "spans are slices within each other, at their wall times, with what was captured", %{path: path} do
    work(7)
    {%{events: 5, tracks: 1}, %{slices: [outer, inner, step]}} = exported(path)
    [start, _, event, _, stop] = all_events()
    assert {outer.name, inner.name, step.name} == {~s("outer"), ~s("inner"), ":step"}
    assert {outer.time, outer.ended} == {start.wall_time, stop.wall_time}
    assert step.time == event.wall_time
    assert outer.values.metadata == "%{n: 7}"
    # maps are shown in the order that the VM keeps them in
    assert step.values.data in [~s(%{n: 7, text: "ä"}), ~s(%{text: "ä", n: 7})]
  end

  test "a process has one track, called by its name and its pid", %{path: path} do
    name = :"export test #{System.unique_integer([:positive])}"
    Process.register(self(), name)
    work(1)
    pid = in_process(fn -> work(2) && self() end)
    {%{tracks: 2}, %{tracks: tracks, slices: slices}} = exported(path)
    names = for %{name: ":step", track: track} <- slices, do: tracks[track]
    assert [%{name: mine, parent: node}, %{name: other, parent: node}] = names
    assert mine == "#{inspect(name)} #{inspect(self())}"
    assert other == inspect(pid)
    assert tracks[node].name == Atom.to_string(node())
  end

  test "processes stand below those that they were born of, with arrows from births and messages", %{
    path: path
  } do
    test = self()

    parent =
      spawn(fn ->
        receive do
          :begin -> :ok
        end

        {:ok, sup} = Supervisor.start_link([{Agent, fn -> 1 end}], strategy: :one_for_one)
        [{_id, agent, _type, _modules}] = Supervisor.which_children(sup)
        send(test, {:value, Agent.get(agent, & &1), sup, agent})

        receive do
          :end -> :ok
        end
      end)

    {sup, agent} =
      Flows.traced([parent], fn ->
        send(parent, :begin)
        assert_receive {:value, 1, sup, agent}, 10_000
        {sup, agent}
      end)

    {_written, %{tracks: tracks, slices: slices}} = exported(path)
    track = fn pid -> Enum.find_value(tracks, fn {n, t} -> if t.name =~ inspect(pid), do: {n, t} end) end
    {node, _} = Enum.find(tracks, fn {_n, t} -> t.parent == nil end)
    assert {above, %{parent: ^node}} = track.(parent)
    assert {middle, %{parent: ^above, name: ":supervisor.init/1" <> _}} = track.(sup)
    assert {below, %{parent: ^middle, name: "Agent.Server.init/1" <> _}} = track.(agent)

    births = for %{name: "spawn " <> name, track: track, flows: flows} <- slices, do: {track, name, hd(flows)}

    assert [{^above, ":supervisor.init/1", first}, {^middle, "Agent.Server.init/1", second}] = births
    assert Enum.any?(slices, &(&1.track == middle and first in &1.flows))
    assert Enum.any?(slices, &(&1.track == below and second in &1.flows))

    # the question of the parent to the agent, and its answer
    [asked] =
      for %{name: "call", track: ^above, values: %{message: "{:get," <> _}} = slice <- slices, do: slice

    [arrived] = for %{name: "receive call", track: ^below} = slice <- slices, do: slice
    assert asked.flows == arrived.flows
    [answered] = for %{name: "reply", track: ^below} = slice <- slices, do: slice

    assert [_] =
             for(
               %{name: "receive reply", track: ^above} = slice <- slices,
               slice.flows == answered.flows,
               do: slice
             )

    send(parent, :end)
  end

  test "takes the options of a query", %{path: path} do
    for n <- 1..20, do: work(n)
    other = in_process(fn -> work(21) && self() end)
    steps = fn opts -> exported(path, opts) |> elem(1) |> Map.fetch!(:slices) |> Enum.map(& &1.values) end

    assert [%{data: data}] = steps.(pid: other, event_type: :user_event)
    assert data =~ "n: 21"
    assert [%{data: first}, %{data: last}] = steps.(event_type: :user_event, limit: 2)
    assert {first =~ "n: 20", last =~ "n: 21"} == {true, true}
    assert [%{data: first}] = steps.(event_type: :user_event, limit: 1, after: 0)
    assert first =~ ~r/n: 1\b/
    assert [%{data: _}, %{data: _}] = steps.(where: [{[:data, :n], :>, 19}])
    assert steps.(event_type: :user_event, payload: false) == List.duplicate(%{}, 21)
    assert steps.(event_type: :error) == []
  end

  test "tells how far it has come, and writes all of a tape of many pages", %{path: path} do
    for n <- 1..5_000, do: work(n)
    test = self()
    {written, %{slices: slices}} = exported(path, progress: &send(test, {:progress, &1}))
    assert written.events == 25_000

    assert Enum.frequencies_by(slices, & &1.name) == %{
             ~s("outer") => 5_000,
             ~s("inner") => 5_000,
             ":step" => 5_000
           }

    assert Enum.all?(slices, &(&1.ended >= &1.time))
    told = told()
    assert length(told) > 6
    assert told == Enum.sort_by(told, & &1.events)
    assert told == Enum.sort_by(told, & &1.share)
    assert List.last(told) == %{events: 25_000, share: 1.0}
  end

  defp told do
    receive do
      {:progress, progress} -> [progress | told()]
    after
      0 -> []
    end
  end

  test "records nothing of itself", %{path: path} do
    Trace.event(:one, nil)
    {%{events: 1}, _} = exported(path)
    assert ElixirScope.count_events() == 1
  end

  test "compresses a file whose name says so", %{folder: folder} do
    for n <- 1..100, do: work(n)
    {packed, %{slices: slices}} = exported(Path.join(folder, "tape.pftrace.gz"))
    {plain, %{slices: ^slices}} = exported(Path.join(folder, "tape.pftrace"))
    assert packed.bytes < plain.bytes / 2
  end

  test "replaces a file only when the new one is whole", %{folder: folder, path: path} do
    File.write!(path, "older")
    for n <- 1..5_000, do: work(n)

    stop = fn %{events: events} -> if events > 0, do: ElixirScope.stop() end
    assert Export.perfetto(path: path, progress: stop) == {:error, :not_running}
    assert File.read!(path) == "older"
    assert File.ls!(folder) == ["tape.pftrace"]

    :ok = ElixirScope.start()
    work(1)
    assert catch_throw(Export.perfetto(path: path, progress: fn _progress -> throw(:enough) end)) == :enough
    assert File.read!(path) == "older"
    assert File.ls!(folder) == ["tape.pftrace"]
    {%{events: 5}, _} = exported(path)
  end

  test "says what is wrong", %{folder: folder} do
    assert {:error, %Error{reason: {:invalid_option, :path, nil, _}}} = Export.perfetto([])
    assert {:error, %Error{reason: {:invalid_option, :path, :a, _}}} = Export.perfetto(path: :a)

    assert {:error, %Error{reason: {:invalid_option, :order, :asc, _}}} =
             Export.perfetto(path: "a", order: :asc)

    assert {:error, %Error{reason: {:invalid_option, :limit, 0, _}}} = Export.perfetto(path: "a", limit: 0)

    assert {:error, %Error{reason: {:invalid_option, :progress, 1, _}}} =
             Export.perfetto(path: "a", progress: 1)

    assert {:error, %Error{}} = Export.perfetto(:no)
    path = Path.join([folder, "none", "tape"])
    assert {:error, %Error{reason: {:not_written, ^path, :enoent}}} = error = Export.perfetto(path: path)
    assert message_of(error) == "#{path} could not be written: no such file or directory"
    assert File.ls!(folder) == []
    :ok = ElixirScope.stop()
    assert Export.perfetto(path: path) == {:error, :not_running}
  end
end
