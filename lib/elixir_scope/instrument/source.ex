defmodule ElixirScope.Instrument.Source do
  @moduledoc false

  # Where the plain code of a loaded module lies.

  alias ElixirScope.Error
  alias ElixirScope.Instrument.Beam

  @type t :: %{module: module, path: charlist, beam: binary, md5: binary}

  @doc """
  The beam of a module, as the code path has it. It must be what is loaded, or what `known` says: the digest of the plain code
  where a changed one is loaded.
  """
  @spec find(module, binary | nil) :: {:ok, t} | {:error, Error.t()}
  def find(module, known) do
    with {:ok, beam, path} <- object_code(module),
         {:ok, md5} <- digest(module, beam),
         :ok <- same(module, md5, known || loaded(module)) do
      {:ok, %{module: module, path: path, beam: beam, md5: md5}}
    end
  end

  defp object_code(module) do
    case :code.get_object_code(module) do
      {^module, beam, path} -> {:ok, beam, path}
      :error -> {:error, missing(module)}
    end
  end

  defp missing(module) do
    case :code.is_loaded(module) do
      false -> %Error{reason: {:unknown_module, module}}
      {:file, _file} -> %Error{reason: :no_debug_info, details: %{module: module, why: :in_memory}}
    end
  end

  defp digest(module, beam) do
    with {:error, reason} <- Beam.md5(beam), do: {:error, %Error{reason: reason, details: %{module: module}}}
  end

  defp same(_module, md5, md5), do: :ok
  defp same(_module, _md5, nil), do: :ok
  defp same(module, _md5, _loaded), do: {:error, %Error{reason: {:other_code_loaded, module}}}

  @doc "The digest of the code that is loaded, or nil."
  @spec loaded(module) :: binary | nil
  def loaded(module), do: if(:erlang.module_loaded(module), do: module.module_info(:md5))
end
