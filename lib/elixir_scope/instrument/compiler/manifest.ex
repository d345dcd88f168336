defmodule ElixirScope.Instrument.Compiler.Manifest do
  @moduledoc false

  # What the compiler knows from its last run: of each module the file that it saw, and what became of it.

  alias ElixirScope.Instrument.Sidecar.{Content, Files}

  @version 1

  @enforce_keys [:folders, :diagnostics]
  defstruct [:options, :version | @enforce_keys]

  @typedoc """
  One module.

    * `stat`: size, modification time and inode of the beam, `checked_at` the second in which it was read: what was written later
      bears a later time
    * `content`: digest of the whole file
    * `kind`, `named?`: whether it is a protocol, and whether it has `use ElixirScope.Instrument`
    * `source`: its source file
    * `outcome`: `{:instrumented, functions, behaviours, size of the sidecar}`, made as `plan` says; or plain, and why
  """
  @type entry :: %{
          stat: {non_neg_integer, integer, non_neg_integer},
          checked_at: integer,
          content: binary,
          kind: :module | :protocol | :not_a_beam,
          named?: boolean,
          source: Path.t() | nil,
          plan: Content.digest(),
          outcome: {:instrumented, [{atom, arity}], [module], pos_integer} | {:plain, reason}
        }
  @type reason ::
          :excluded
          | :not_listed
          | :protocol
          | :nothing_to_record
          | :no_debug_info
          | :not_a_beam
          | {atom, term}
  @type folder :: %{ebin: Path.t(), modules: %{module => entry}}
  @type t :: %__MODULE__{
          version: pos_integer,
          options: map | nil,
          folders: %{(app :: atom) => folder},
          diagnostics: [tuple]
        }

  @doc "A manifest that knows nothing."
  @spec empty() :: t
  def empty, do: %__MODULE__{version: @version, options: nil, folders: %{}, diagnostics: []}

  @doc "Reads a manifest; one that is damaged or of another version knows nothing, and everything is made anew."
  @spec read(Path.t()) :: t
  def read(path) do
    with {:ok, content} <- File.read(path),
         %__MODULE__{version: @version} = manifest <- decode(content) do
      manifest
    else
      _unusable -> empty()
    end
  end

  defp decode(<<checksum::binary-16, content::binary>>) do
    if :erlang.md5(content) == checksum, do: :erlang.binary_to_term(content)
  rescue
    ArgumentError -> nil
  end

  defp decode(_other), do: nil

  @spec write(Path.t(), t) :: :ok | {:error, {:file, File.posix()}}
  def write(path, %__MODULE__{} = manifest) do
    content = :erlang.term_to_binary(manifest, minor_version: 2)
    with :ok <- File.mkdir_p(Path.dirname(path)), do: Files.replace(path, [:erlang.md5(content), content])
  end
end
