defmodule ElixirScope.Site do
  @moduledoc false

  # A place in the program: a literal `{id, descriptor}` that the injected code passes with each call, so that no registry
  # has to be kept in step. The id is made of the descriptor at compile time: the same place has the same id wherever it
  # is compiled, and the library looks at the descriptor only once.

  @typedoc "`clause` counts from 1, 0 where there is none."
  @type descriptor ::
          {module :: module | nil, function :: atom | nil, arity, file :: String.t(), line :: non_neg_integer,
           clause :: non_neg_integer, arg_names :: [atom | nil]}
  @type t :: {id :: pos_integer, descriptor}

  @doc "The site of a descriptor."
  @spec new(descriptor) :: t
  def new(descriptor), do: {id(descriptor), descriptor}

  @doc "The site where a macro is being expanded."
  @spec at(Macro.Env.t()) :: t
  def at(%Macro.Env{} = env) do
    {function, arity} = env.function || {nil, 0}
    new({env.module, function, arity, Path.relative_to_cwd(env.file), env.line, 0, []})
  end

  # 58 bits, so that it is a small integer on a 64-bit VM; 0 stands for no site.
  defp id(descriptor) do
    <<id::58, _rest::70>> = :erlang.md5(:erlang.term_to_binary(descriptor, minor_version: 2))
    max(id, 1)
  end
end
