defmodule ElixirScope.Test.OwnNode do
  @moduledoc "Runs a script in an operating system process of its own, with the application on its code path."

  @spec run(String.t(), %{String.t() => String.t()}) :: {output :: String.t(), status :: non_neg_integer}
  def run(script, environment \\ %{}) do
    paths = for app <- [:elixir_scope], path <- ["-pa", Path.join(Application.app_dir(app), "ebin")], do: path

    System.cmd(System.find_executable("elixir"), paths ++ ["--no-halt", "-e", script <> "\nSystem.halt(0)"],
      env: Map.to_list(environment),
      stderr_to_stdout: true
    )
  end
end
