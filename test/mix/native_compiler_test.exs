defmodule Mix.Tasks.Compile.ElixirScopeNativeTest do
  # changes PATH and the shell of the whole node
  use ExUnit.Case, async: false

  alias Mix.Tasks.Compile.ElixirScopeNative

  @library Path.join(:code.priv_dir(:elixir_scope), "native/elixir_scope_nif.so")

  setup do
    variables = for name <- ~w(PATH ELIXIR_SCOPE_LIBRARY), do: {name, System.get_env(name)}
    shell = Mix.shell()
    Mix.shell(Mix.Shell.Process)

    folder =
      Path.join(
        System.tmp_dir!(),
        "elixir_scope-native-#{System.pid()}-#{System.unique_integer([:positive])}"
      )

    File.mkdir_p!(folder)

    on_exit(fn ->
      Mix.shell(shell)

      for {name, value} <- variables,
          do: if(value, do: System.put_env(name, value), else: System.delete_env(name))

      File.rm_rf!(folder)
    end)

    System.delete_env("ELIXIR_SCOPE_LIBRARY")
    %{folder: folder, variables: Map.new(variables)}
  end

  # a cargo that answers with this shell script, and nothing else in the PATH
  defp fake_cargo(folder, script) do
    path = Path.join(folder, "cargo")
    File.write!(path, "#!/bin/sh\n" <> script)
    File.chmod!(path, 0o755)
    System.put_env("PATH", folder)
  end

  defp failure(fun) do
    error = assert_raise(Mix.Error, fun)
    Exception.message(error)
  end

  describe "without a usable cargo" do
    test "none at all: one sentence names rustup, the version and the variable", %{folder: folder} do
      System.put_env("PATH", folder)
      message = failure(fn -> ElixirScopeNative.run([]) end)

      assert message ==
               "elixir_scope: found no cargo. ElixirScope's native library is built with Rust 1.91 or newer: install it " <>
                 "with rustup (https://rustup.rs), or set ELIXIR_SCOPE_LIBRARY to the absolute path of a prebuilt library."
    end

    test "one too old: the sentence tells which was found, and where", %{folder: folder} do
      fake_cargo(folder, "echo 'cargo 1.63.0 (fd9c4297c 2022-07-01)'")
      message = failure(fn -> ElixirScopeNative.run([]) end)

      assert message =~
               "found Rust 1.63 (#{folder}/cargo), which is too old. ElixirScope's native library is built with"

      assert message =~ "Rust 1.91 or newer"
    end

    test "versions are compared as numbers", %{folder: folder} do
      fake_cargo(folder, "echo 'cargo 1.100.0'; exit 3")
      # new enough by its version; refused only because it fails
      assert failure(fn -> ElixirScopeNative.run([]) end) =~ "--version failed: cargo 1.100.0"

      fake_cargo(folder, "[ $1 = --version ] && echo 'cargo 1.100.0' || exit 3")

      assert failure(fn -> ElixirScopeNative.run([]) end) =~
               "cargo could not build elixir_scope_nif (exit status 3)"
    end

    test "a rustup without a toolchain: its own words are passed on", %{folder: folder} do
      fake_cargo(folder, "echo 'error: rustup could not choose a version of cargo to run' >&2; exit 1")
      message = failure(fn -> ElixirScopeNative.run([]) end)

      assert message =~ "--version failed: error: rustup could not choose a version of cargo to run"
      assert message =~ "install it with rustup"
    end
  end

  describe "when cargo fails" do
    test "its output is shown as it comes and the status is told", %{folder: folder} do
      fake_cargo(folder, """
      [ $1 = --version ] && echo 'cargo 1.95.0' && exit 0
      echo '{"reason":"compiler-artifact","target":{"name":"libc"},"filenames":["/nowhere/liblibc.rlib"]}'
      echo 'error[E0308]: mismatched types' >&2
      exit 101
      """)

      message = failure(fn -> ElixirScopeNative.run([]) end)
      assert message =~ "cargo could not build elixir_scope_nif (exit status 101)"
      assert_received {:mix_shell, :info, ["error[E0308]: mismatched types"]}
      refute_received {:mix_shell, :info, ["{" <> _json]}
    end

    test "a build that names no library is an error", %{folder: folder} do
      fake_cargo(folder, "[ $1 = --version ] && echo 'cargo 1.95.0'; exit 0")
      assert failure(fn -> ElixirScopeNative.run([]) end) =~ "named no library"
    end
  end

  describe "with ELIXIR_SCOPE_LIBRARY" do
    test "cargo is not needed, and the same library again changes nothing", %{folder: folder} do
      copy = Path.join(folder, "prebuilt.so")
      File.cp!(@library, copy)
      System.put_env("PATH", folder)
      System.put_env("ELIXIR_SCOPE_LIBRARY", copy)
      assert ElixirScopeNative.run([]) == {:noop, []}
    end

    test "a relative path is refused: it would be read from the folder of the dependency" do
      System.put_env("ELIXIR_SCOPE_LIBRARY", "prebuilt.so")
      assert failure(fn -> ElixirScopeNative.run([]) end) =~ "must be the absolute path of a prebuilt"
    end

    test "a file that is not there is named" do
      System.put_env("ELIXIR_SCOPE_LIBRARY", "/nowhere/prebuilt.so")
      assert failure(fn -> ElixirScopeNative.run([]) end) =~ "there is no such file: /nowhere/prebuilt.so"
    end
  end

  describe "in the project as it stands" do
    setup %{variables: variables} do
      if prebuilt = variables["ELIXIR_SCOPE_LIBRARY"], do: System.put_env("ELIXIR_SCOPE_LIBRARY", prebuilt)
      :ok
    end

    test "a build with nothing to do is silent and leaves the library as it is" do
      before = File.stat!(@library)
      assert ElixirScopeNative.run([]) == {:noop, []}
      assert File.stat!(@library) == before
      refute_received {:mix_shell, _kind, _line}
    end

    test "clean removes the library, and the next build brings the same one back without compiling" do
      content = File.read!(@library)

      assert ElixirScopeNative.clean() == :ok
      refute File.exists?(@library)

      assert ElixirScopeNative.run([]) == {:ok, []}
      assert File.read!(@library) == content
      refute_received {:mix_shell, _kind, _line}
    end
  end
end
