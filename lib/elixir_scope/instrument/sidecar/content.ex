defmodule ElixirScope.Instrument.Sidecar.Content do
  @moduledoc false

  # The file beside a beam, `<ebin>/<Module>.scope`: the instrumented module, and the digests of the plain one that it may
  # take the place of. The beam itself is never written to, so that leaving the files alone is plain code.
  #
  #     magic, version, checksum of all that follows, length of it,
  #     md5, lines, attributes   of the plain module, see `digests/1`
  #     instrumented             the md5 of the instrumented one
  #     plan                     how it was made, see `ElixirScope.Instrument.Compiler`
  #     functions                those that are recorded: their number, then arity and name of each
  #     name, beam               each, as every name, with its length before it
  #
  # `ElixirScope.Instrument.Sidecar.Index` lists the files of a folder, `ElixirScope.Instrument.Sidecar` loads them.

  alias ElixirScope.Instrument.{Beam, Engine}
  alias ElixirScope.Instrument.Sidecar.Files

  @magic "elixir_scope sidecar\n"
  @version 1
  @extension ".scope"
  @digest_bytes 16
  @none <<0::size(@digest_bytes)-unit(8)>>
  @plain [:md5, :lines, :attributes]

  # What no running code needs: `:code.get_object_code/1` and all that reads documentation, debug information or types find
  # them in the plain beam, whose path the instrumented module is loaded under.
  @left_out [~c"Dbgi", ~c"Abst", ~c"Docs", ~c"ExCk", ~c"ExDc", ~c"ExDp"]

  @enforce_keys [:module, :md5, :lines, :attributes, :instrumented, :plan, :functions, :beam]
  defstruct [:checksum | @enforce_keys]

  @type digest :: <<_::128>>
  @type t :: %__MODULE__{
          module: String.t(),
          md5: digest,
          lines: digest,
          attributes: digest,
          instrumented: digest,
          plan: digest,
          functions: [{String.t(), arity}],
          beam: binary | nil,
          checksum: digest | nil
        }
  @type reason :: :not_a_sidecar | {:version, non_neg_integer} | :damaged | {:file, File.posix()}

  # -- The plain module -------------------------------------------------------------------------------------------------

  @doc """
  What an instrumented module has to fit: the md5 of the code, as `module_info(:md5)` tells it, and the digests of what that
  leaves out: line numbers, and attributes. A blank line more changes only the lines. Zeros where there is no such part.
  """
  @spec digests(binary) :: {:ok, %{md5: digest, lines: digest, attributes: digest}} | {:error, :not_a_beam}
  def digests(beam) do
    with {:ok, md5} <- Beam.md5(beam),
         {:ok, {_module, [{_line, lines}, {_attr, attributes}]}} <-
           :beam_lib.chunks(beam, [~c"Line", ~c"Attr"], [:allow_missing_chunks]) do
      {:ok, %{md5: md5, lines: part(lines), attributes: part(attributes)}}
    else
      _error -> {:error, :not_a_beam}
    end
  end

  defp part(:missing_chunk), do: @none
  defp part(chunk), do: :erlang.md5(chunk)

  @doc "Whether a sidecar was made of this beam, which may have been stripped of parts since."
  @spec made_of?(t, binary) :: boolean
  def made_of?(%__MODULE__{} = sidecar, beam) do
    case digests(beam) do
      {:ok, found} ->
        found.md5 == sidecar.md5 and found.lines in [sidecar.lines, @none] and
          found.attributes in [sidecar.attributes, @none]

      {:error, :not_a_beam} ->
        false
    end
  end

  @doc "Whether two sidecars were made of the same plain module."
  @spec same_plain?(t, t) :: boolean
  def same_plain?(one, other), do: Map.take(one, @plain) == Map.take(other, @plain)

  # -- Files ------------------------------------------------------------------------------------------------------------

  @doc "Where the sidecar of a module lies."
  @spec path(Path.t(), module | String.t()) :: Path.t()
  def path(ebin, module), do: Path.join(ebin, "#{module}#{@extension}")

  @doc "Whether a file has the name of a sidecar."
  @spec name?(String.t()) :: boolean
  def name?(file), do: String.ends_with?(file, @extension)

  @doc "A sidecar of what the engine made of a plain beam."
  @spec new(plain :: binary, Engine.instrumented(), plan :: digest) :: {:ok, t} | {:error, :not_a_beam}
  def new(plain, %{beam: instrumented, functions: functions}, plan) do
    with {:ok, digests} <- digests(plain),
         {:ok, instrumented_md5} <- Beam.md5(instrumented),
         {:ok, module, chunks} <- :beam_lib.all_chunks(instrumented),
         {:ok, beam} <- :beam_lib.build_module(for({id, _} = chunk <- chunks, id not in @left_out, do: chunk)) do
      {:ok,
       %__MODULE__{
         module: Atom.to_string(module),
         md5: digests.md5,
         lines: digests.lines,
         attributes: digests.attributes,
         instrumented: instrumented_md5,
         plan: plan,
         functions: for({name, arity} <- functions, do: {Atom.to_string(name), arity}),
         beam: beam
       }}
    else
      _error -> {:error, :not_a_beam}
    end
  end

  @doc "Writes a sidecar to its place; whoever reads it meanwhile sees the old one or the new one. Answers its size."
  @spec write(Path.t(), t) :: {:ok, size_bytes :: pos_integer} | {:error, {:file, File.posix()}}
  def write(ebin, %__MODULE__{} = sidecar) do
    content = pack(sidecar)

    with :ok <- Files.replace(path(ebin, sidecar.module), content), do: {:ok, byte_size(content)}
  end

  @doc "Reads the sidecar of a module; a file that is not whole is an error."
  @spec read(Path.t(), module | String.t()) :: {:ok, t} | {:error, reason}
  def read(ebin, module) do
    case File.read(path(ebin, module)) do
      {:ok, content} -> content |> unpack() |> named(to_string(module))
      {:error, posix} -> {:error, {:file, posix}}
    end
  end

  # A file under another module's name would be loaded in its place.
  defp named({:ok, %{module: name} = sidecar}, name), do: {:ok, sidecar}
  defp named({:ok, _other}, _name), do: {:error, :damaged}
  defp named(error, _name), do: error

  @doc false
  @spec pack(t) :: binary
  def pack(%__MODULE__{} = sidecar) do
    content =
      <<sidecar.md5::binary-size(@digest_bytes), sidecar.lines::binary-size(@digest_bytes),
        sidecar.attributes::binary-size(@digest_bytes), sidecar.instrumented::binary-size(@digest_bytes),
        sidecar.plan::binary-size(@digest_bytes), pack_functions(sidecar.functions)::binary,
        byte_size(sidecar.module)::16, sidecar.module::binary, byte_size(sidecar.beam)::32,
        sidecar.beam::binary>>

    <<@magic, @version::16, :erlang.md5(content)::binary, byte_size(content)::32, content::binary>>
  end

  @doc false
  @spec unpack(binary) :: {:ok, t} | {:error, reason}
  def unpack(
        <<@magic, @version::16, checksum::binary-size(@digest_bytes), size::32, content::binary-size(size)>>
      ) do
    with true <- :erlang.md5(content) == checksum,
         <<md5::binary-size(@digest_bytes), lines::binary-size(@digest_bytes),
           attributes::binary-size(@digest_bytes), instrumented::binary-size(@digest_bytes),
           plan::binary-size(@digest_bytes), count::16, rest::binary>> <- content,
         {functions, rest} <- functions(count, rest, []),
         <<name_size::16, name::binary-size(name_size), beam_size::32, beam::binary-size(beam_size)>> <- rest do
      {:ok,
       %__MODULE__{
         module: name,
         md5: md5,
         lines: lines,
         attributes: attributes,
         instrumented: instrumented,
         plan: plan,
         functions: functions,
         beam: beam,
         checksum: checksum
       }}
    else
      _not_whole -> {:error, :damaged}
    end
  end

  def unpack(<<@magic, version::16, _rest::binary>>) when version != @version,
    do: {:error, {:version, version}}

  def unpack(<<@magic, _rest::binary>>), do: {:error, :damaged}
  def unpack(_other), do: {:error, :not_a_sidecar}

  defp pack_functions(functions) do
    names = for {name, arity} <- functions, into: <<>>, do: <<arity, byte_size(name)::16, name::binary>>
    <<length(functions)::16, names::binary>>
  end

  defp functions(0, rest, functions), do: {Enum.reverse(functions), rest}

  defp functions(count, <<arity, size::16, name::binary-size(size), rest::binary>>, functions),
    do: functions(count - 1, rest, [{name, arity} | functions])

  defp functions(_count, _not_whole, _functions), do: :error
end
