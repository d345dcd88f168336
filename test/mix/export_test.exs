defmodule Mix.Tasks.ElixirScope.ExportTest do
  use ExUnit.Case, async: true

  alias ElixirScope.Test.Perfetto

  setup do
    folder =
      Path.join(
        System.tmp_dir!(),
        "elixir_scope_export_#{System.pid()}_#{System.unique_integer([:positive])}"
      )

    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)
    %{out: Path.join(folder, "tape.pftrace")}
  end

  # A node that ends when the port is closed, which it is with the test.
  defp start_node(script) do
    name = "es_recorder_#{System.pid()}_#{System.unique_integer([:positive])}@127.0.0.1"
    ebin = Path.join(Application.app_dir(:elixir_scope), "ebin")
    script = "#{script}\nIO.puts(\"ready\")\nIO.read(:line)\nSystem.halt(0)"
    args = ["--name", name, "--cookie", "es_cookie", "-pa", ebin, "--no-halt", "-e", script]

    port =
      Port.open({:spawn_executable, System.find_executable("elixir")}, [
        :binary,
        :exit_status,
        line: 1_000,
        args: args
      ])

    assert_receive {^port, {:data, {:eol, "ready"}}}, 60_000
    name
  end

  defp export(args) do
    System.cmd("mix", ["elixir_scope.export" | args], stderr_to_stdout: true, env: [{"MIX_ENV", "test"}])
  end

  test "writes what another node has recorded, to a file here", %{out: out} do
    name =
      start_node("""
      {:ok, _apps} = Application.ensure_all_started(:elixir_scope)
      :ok = ElixirScope.start()
      require ElixirScope.Trace
      for n <- 1..10_000, do: ElixirScope.Trace.event(:step, %{n: n})
      ElixirScope.Trace.metric(:size, 1)
      """)

    node = ["--name", name, "--cookie", "es_cookie"]
    assert {said, 0} = export(node ++ ["--out", out])
    assert said =~ "tape.pftrace: 10001 events of 1 processes, #{File.stat!(out).size} bytes"
    %{slices: slices, points: points, tracks: tracks} = Perfetto.read(out)
    assert {length(slices), length(points)} == {10_000, 1}
    assert name in Enum.map(tracks, fn {_number, track} -> track.name end)

    assert {said, 0} =
             export(node ++ ["--out", out, "--limit", "3", "--event-type", "user_event", "--last", "600"])

    assert said =~ "tape.pftrace: 3 events"
    assert [_, _, %{values: %{data: "%{n: 10000}"}}] = Perfetto.read(out).slices

    assert {said, 1} = export(node ++ ["--out", out, "--event-type", "no_such"])
    assert said =~ "invalid value for option :event_type"
    assert {said, 1} = export(node ++ ["--out", Path.join(out, "below")])
    assert said =~ "could not be written: not a directory"
  end

  test "says what is wrong with the other node", %{out: out} do
    name = start_node("{:ok, _apps} = Application.ensure_all_started(:elixir_scope)")
    assert {said, 1} = export(["--name", name, "--cookie", "es_cookie", "--out", out])
    assert said =~ "#{name} does not record: expected one where ElixirScope.start/0 was called"
    assert {said, 1} = export(["--name", "es_nobody@127.0.0.1", "--out", out])
    assert said =~ "cannot connect to es_nobody@127.0.0.1"
    refute File.exists?(out)
  end

  test "says what it expects" do
    run = &Mix.Tasks.ElixirScope.Export.run/1
    assert_raise Mix.Error, ~r/expected --name, the node that records, as app@host/, fn -> run.([]) end
    assert_raise Mix.Error, ~r/expected no "app@host"/, fn -> run.(["app@host"]) end
    assert_raise Mix.Error, ~r/--nmae is unknown/, fn -> run.(["--nmae", "a@b"]) end
    assert_raise Mix.Error, ~r/--limit is unknown, or has no such value/, fn -> run.(["--limit", "x"]) end
    assert_raise Mix.Error, ~r/expected --name as app@host, got: app/, fn -> run.(["--name", "app"]) end
  end
end
