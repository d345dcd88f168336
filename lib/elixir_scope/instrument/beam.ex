defmodule ElixirScope.Instrument.Beam do
  @moduledoc false

  # A compiled module as it lies on disk: what instrumentation reads of it, and how changed forms become a module again that
  # bears all that the compiler of the plain one said of it (attributes, compile information, docs, specs, debug information).

  alias ElixirScope.Muted

  alias ElixirScope.Instrument.Literals

  @enforce_keys [:module, :md5, :forms, :attributes, :compile_info, :chunks]
  defstruct @enforce_keys

  @type forms :: [tuple]
  @type t :: %__MODULE__{
          module: module,
          md5: binary,
          forms: forms,
          attributes: keyword,
          compile_info: keyword,
          chunks: [{charlist, binary}]
        }

  @type reason :: :not_a_beam | :no_debug_info

  # Kept as they were; all others are made by the compiler anew. `Attr` and `CInf` are what `module_info/1` tells.
  @kept [~c"Attr", ~c"CInf", ~c"Dbgi", ~c"Abst", ~c"Docs", ~c"ExCk", ~c"ExDc", ~c"ExDp"]

  # Of the options that the plain module was compiled with, those that decide what its code does.
  @options [
    :inline,
    :inline_effort,
    :inline_size,
    :inline_list_funcs,
    :no_auto_import,
    :no_type_opt,
    :nowarn_unused_record
  ]

  # Passes of the compiler that do not come to an end with our code: `ssa_opt_try` changes it back and forth, so that all that
  # follows it is repeated up to sixteen times (OTP 25: half of the time of a module), and `ssa_opt_type_continue` then no
  # longer finds types that it relies on. Types are found once all the same, by `ssa_opt_type_start`.
  @passes [:no_ssa_opt_try, :no_ssa_opt_type_continue]

  @doc "Reads a beam. Without usable debug information there is nothing to instrument."
  @spec read(binary, binary | nil) :: {:ok, t} | {:error, reason}
  def read(binary, debug_info \\ nil) when is_binary(binary) do
    with {:ok, module, chunks} <- all_chunks(binary),
         {:ok, md5} <- md5(binary),
         {:ok, forms} <- forms(module, debug_info || binary) do
      {:ok,
       %__MODULE__{
         module: module,
         md5: md5,
         forms: forms,
         # from the forms: a stripped beam has lost its own
         attributes: for({:attribute, _anno, name, value} <- forms, do: {name, value}),
         compile_info: compile_info(debug_info || binary),
         chunks: chunks
       }}
    end
  end

  @doc "The digest of a module's code, as its `module_info(:md5)` tells it; stripping a beam does not change it."
  @spec md5(binary) :: {:ok, binary} | {:error, :not_a_beam}
  def md5(binary) do
    case :beam_lib.md5(binary) do
      {:ok, {_module, md5}} -> {:ok, md5}
      {:error, :beam_lib, _reason} -> {:error, :not_a_beam}
    end
  end

  @doc "Compiles changed forms of `beam` to a module that is otherwise the same."
  @spec build(t, forms) :: {:ok, binary} | {:error, {:compile_failed, String.t()}}
  def build(%__MODULE__{module: module} = beam, forms) do
    {forms, literals} = Literals.take(forms)

    case compile(forms, Literals.options(literals) ++ options(beam)) do
      {:ok, ^module, binary} -> {:ok, reassemble(beam, binary)}
      {:error, errors} -> {:error, {:compile_failed, text(errors)}}
    end
  end

  # Should a pass that relies on types end with an internal error, as `ssa_opt_type_continue` did for five of the 981 modules of
  # OTP 25 and Elixir 1.14: without types the code is the same, but for some tests that need not be made.
  defp compile(forms, options) do
    with {:error, _errors} <- compile_silently(forms, options) do
      compile_silently(forms, [:no_type_opt | options])
    end
  end

  # An internal error is also printed, in parts, by the compiler itself.
  defp compile_silently(forms, options) do
    Task.async(fn ->
      # the compiler may run instrumented code itself, `:lists` for one
      Muted.forever()
      {:ok, sink} = StringIO.open("")
      Process.group_leader(self(), sink)

      try do
        compile_forms(forms, options)
      after
        # its end does not come with that of this process, which is a normal one
        StringIO.close(sink)
      end
    end)
    |> Task.await(:infinity)
  end

  defp compile_forms(forms, options) do
    case :compile.noenv_forms(forms, options) do
      {:ok, module, binary} -> {:ok, module, binary}
      {:ok, module, binary, _warnings} -> {:ok, module, binary}
      {:error, errors, _warnings} -> {:error, errors}
      :error -> {:error, :unknown}
    end
  rescue
    error -> {:error, error}
  end

  defp options(%{compile_info: info}) do
    kept =
      for option <- info[:options] || [],
          key = if(is_tuple(option) and tuple_size(option) > 0, do: elem(option, 0), else: option),
          key in @options,
          do: option

    [:binary, :return_errors, :no_spawn_compiler_process] ++ @passes ++ kept
  end

  defp reassemble(%{chunks: plain}, binary) do
    {:ok, _module, made} = all_chunks(binary)
    kept = for {id, _data} = chunk <- plain, id in @kept, do: chunk
    ids = for {id, _data} <- kept, do: id
    made = for {id, _data} = chunk <- made, id not in @kept or id in ids, id not in ids, do: chunk
    {:ok, whole} = :beam_lib.build_module(made ++ kept)
    whole
  end

  defp all_chunks(binary) do
    case :beam_lib.all_chunks(binary) do
      {:ok, module, chunks} -> {:ok, module, chunks}
      {:error, :beam_lib, _reason} -> {:error, :not_a_beam}
    end
  end

  defp compile_info(binary) do
    case :beam_lib.chunks(binary, [:compile_info]) do
      {:ok, {_module, [compile_info: info]}} -> info
      {:error, :beam_lib, _reason} -> []
    end
  end

  defp forms(module, binary) do
    with {:ok, {^module, [debug_info: {:debug_info_v1, backend, data}]}} <-
           :beam_lib.chunks(binary, [:debug_info]),
         {:ok, forms} <- forms_of(backend, module, data) do
      {:ok, forms}
    else
      # beams of compilers that know nothing of the newer chunk
      _other -> abstract_code(module, binary)
    end
  end

  defp forms_of(backend, module, data) do
    with true <- Code.ensure_loaded?(backend),
         {:ok, [_ | _] = forms} <- backend.debug_info(:erlang_v1, module, data, []) do
      {:ok, forms}
    else
      _none -> {:error, :no_debug_info}
    end
  end

  defp abstract_code(module, binary) do
    case :beam_lib.chunks(binary, [:abstract_code]) do
      {:ok, {^module, [abstract_code: {:raw_abstract_v1, forms}]}} -> {:ok, forms}
      _none -> {:error, :no_debug_info}
    end
  end

  defp text([{_file, [{_where, module, error} | _]} | _]) do
    IO.chardata_to_string(module.format_error(error))
  end

  defp text(error) when is_exception(error), do: Exception.message(error)
  defp text(other), do: inspect(other, limit: 20)
end
