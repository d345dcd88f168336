defmodule Mix.Tasks.ElixirScope.Export do
  @shortdoc "Writes what a running node has recorded to a file for Perfetto"

  @moduledoc """
  Writes what a running node has recorded to a file that [Perfetto](https://ui.perfetto.dev) and its tools open.

      $ mix elixir_scope.export --name app@host --cookie secret --out tape.pftrace
      $ mix elixir_scope.export --name app@host --out tape.pftrace.gz --module MyApp.Cart --last 60

  The file is written here, piece by piece; the other node holds no more than one of them at a time. In the node itself, as in
  `iex`, it is `ElixirScope.Export.perfetto/1` that does this.

    * `--name` - the node that records, as `app@host`; required. With a dot in its host names are long ones
    * `--cookie` - its cookie; the one of this user without it
    * `--out` - the file; `elixir_scope.pftrace` without it. One whose name ends in `.gz` is compressed
    * `--last` - only the last so many seconds
    * `--limit` - only the newest so many events
    * `--event-type`, `--module`, `--function` - only events of this sort, or of this module or function
    * `--no-payload` - without captured values
    * `--help` - this text
  """

  use Mix.Task

  alias ElixirScope.Export.Remote

  @switches [
    name: :string,
    cookie: :string,
    out: :string,
    last: :integer,
    limit: :integer,
    event_type: :string,
    module: :string,
    function: :string,
    payload: :boolean,
    help: :boolean
  ]

  @impl true
  def run(args) do
    {given, rest, invalid} = OptionParser.parse(args, strict: @switches)

    cond do
      given[:help] -> Mix.shell().info(@moduledoc)
      rest != [] -> fail("expected no #{inspect(hd(rest))}: see mix elixir_scope.export --help")
      invalid != [] -> fail("#{invalid |> hd() |> elem(0)} is unknown, or has no such value: see --help")
      given[:name] == nil -> fail("expected --name, the node that records, as app@host")
      true -> export(given)
    end
  end

  defp export(given) do
    Mix.Task.run("loadpaths")
    node = String.to_atom(given[:name])
    connect(node, given[:cookie])
    out = given[:out] || "elixir_scope.pftrace"

    case Remote.write(node, out, query(given, node), &progress/1) do
      {:ok, written} ->
        say(
          "#{written.path}: #{written.events} events of #{written.tracks} processes, #{written.bytes} bytes" <>
            if(written.evicted > 0,
              do: "; #{written.evicted} left the tape before they were written",
              else: ""
            )
        )

      {:error, %{__exception__: true} = error} ->
        fail(Exception.message(error))

      {:error, :not_running} ->
        fail(
          "#{node} does not record: expected one where ElixirScope.start/0 was called, or that has it as a child"
        )

      {:error, reason} ->
        fail("#{node} answered #{inspect(reason)}")
    end
  end

  # -- The other node ---------------------------------------------------------------------------------------------------

  defp connect(node, cookie) do
    unless Node.alive?(), do: start(node)
    if cookie, do: Node.set_cookie(node, String.to_atom(cookie))

    unless Node.connect(node) == true do
      fail(
        "cannot connect to #{node}: expected it to run, with this cookie, and to be reachable by that name"
      )
    end
  end

  defp start(node) do
    [_name, host] = parts(node)
    kind = if String.contains?(host, "."), do: :longnames, else: :shortnames
    me = "elixir_scope_export_#{System.pid()}"
    # A name on this host's own address, if the other one has such a one.
    me = if kind == :longnames and local?(host), do: "#{me}@#{host}", else: me

    # Distribution wants the port mapper, which the first node of a host starts.
    System.cmd("epmd", ["-daemon"])

    with {:error, reason} <- Node.start(String.to_atom(me), kind) do
      fail("this node cannot be given a name: #{inspect(reason)}")
    end
  end

  defp local?(host), do: host in ["127.0.0.1"]

  defp parts(node) do
    case node |> Atom.to_string() |> String.split("@") do
      [name, host] = parts when name != "" and host != "" -> parts
      _other -> fail("expected --name as app@host, got: #{node}")
    end
  end

  # -- The question -----------------------------------------------------------------------------------------------------

  defp query(given, node) do
    Enum.flat_map(given, fn
      {:last, seconds} -> [since: Remote.now(node) - seconds * 1_000_000_000]
      {:module, name} -> [module: module(name)]
      {:function, name} -> [function: String.to_atom(name)]
      {:event_type, name} -> [event_type: String.to_atom(name)]
      {key, value} when key in [:limit, :payload] -> [{key, value}]
      _other -> []
    end)
  end

  # `MyApp.Cart`, or `:lists` and `lists` of Erlang.
  defp module(":" <> name), do: String.to_atom(name)

  defp module(name) do
    if name =~ ~r/^[A-Z]/, do: Module.concat([name]), else: String.to_atom(name)
  end

  # -- Text -------------------------------------------------------------------------------------------------------------

  defp progress(%{share: share, events: events}) do
    if IO.ANSI.enabled?(), do: IO.write(:stderr, "\r#{round(share * 100)} %, #{events} events")
    if IO.ANSI.enabled?() and share == 1.0, do: IO.write(:stderr, "\n")
  end

  defp say(text), do: Mix.shell().info(text)

  @spec fail(String.t()) :: no_return
  defp fail(text), do: Mix.raise("elixir_scope.export: " <> text)
end
