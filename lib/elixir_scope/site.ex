defmodule ElixirScope.Site do
  @moduledoc false

  # A place in the program: a literal `{id, descriptor}` that the injected code passes with each call, so that no registry
  # has to be kept in step. The id is made of the descriptor at compile time: the same place has the same id wherever it
  # is compiled, and the library looks at the descriptor only once.

  @typedoc "`clause` counts from 1, 0 where there is none."
  @type descriptor ::
          {module :: module | nil, function :: atom | nil, arity, file :: String.t(), line :: non_neg_integer,
           clause :: non_neg_integer, arg_names :: [atom | nil], role}

  @typedoc """
  What the place is:

    * `:mark` - it stands in the code for itself: a mark of `ElixirScope.Trace`, a message sent, a process spawned
    * `:public`, `:private` - a function that the strategy chose
    * `:chosen` - a function that the user named
    * `:loop` - such a one that is a loop, one of whose arguments is a state
    * a callback of a behaviour: `receives` tells how it takes up a message (how that was sent, and the index of the argument
      that holds it and of the one that names its sender), `shape` the form of the results in which its state stands
    * a tail call out of a function, with that function's role and the function that is called
  """
  @type role :: function_role | {:tail, function_role, {module, atom, arity}}
  @type function_role ::
          :mark | :public | :private | :chosen | :loop | {:callback, behaviour :: module, receives, shape}
  @type receives ::
          nil
          | {:call | :cast | :send, message :: non_neg_integer, sender :: non_neg_integer | nil}
  @type shape :: nil | :init | :server | :code_change | :statem | :event | :socket
  @type t :: {id :: pos_integer, descriptor}

  @doc "The site of a descriptor."
  @spec new(descriptor) :: t
  def new(descriptor), do: {id(descriptor), descriptor}

  @doc "The site where a macro is being expanded."
  @spec at(Macro.Env.t()) :: t
  def at(%Macro.Env{} = env) do
    {function, arity} = env.function || {nil, 0}
    new({env.module, function, arity, Path.relative_to_cwd(env.file), env.line, 0, [], :mark})
  end

  # 58 bits, so that it is a small integer on a 64-bit VM; 0 stands for no site.
  defp id(descriptor) do
    <<id::58, _rest::70>> = :erlang.md5(:erlang.term_to_binary(descriptor, minor_version: 2))
    max(id, 1)
  end
end
