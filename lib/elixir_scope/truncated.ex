defmodule ElixirScope.Truncated do
  @moduledoc """
  The mark that stands in a captured term where a budget cut it.

  It takes the place of what is missing: of a whole value, or of the rest of a list, tuple or map.

    * `kind`: what was cut, such as `:binary`, `:list`, `:map`, `:tuple`, `:depth`, `:fun_env`, or `:bytes` for a value
      that the budget left no room for, or `:state` for the state among the arguments or in the result of a callback that is
      not known, or known for certain, from the timeline of the process, or `:guard` for what was left out to spare the host, see
      `ElixirScope.Guard`
    * `kept`: how much of it is there: bytes of a binary, elements of a container
    * `total`: how much there was in all, or `nil` where that was not counted
    * `prefix`: the first bytes of a binary, `nil` for anything else

  `inspect/1` shows a mark in a form that no Elixir term has, so that it cannot be mistaken for data.

      iex> inspect(%ElixirScope.Truncated{kind: :binary, kept: 5, total: 1_000_000, prefix: "hello"})
      ~s(#ElixirScope.Truncated<binary: 5 of 1000000 kept, "hello">)

      iex> inspect([1, 2, %ElixirScope.Truncated{kind: :list, kept: 2, total: nil}])
      "[1, 2, #ElixirScope.Truncated<list: 2 kept>]"
  """

  @type t :: %__MODULE__{
          kind: atom,
          kept: non_neg_integer,
          total: non_neg_integer | nil,
          prefix: bitstring | nil
        }

  @enforce_keys [:kind]
  defstruct [:kind, :total, :prefix, kept: 0]

  defimpl Inspect do
    import Inspect.Algebra

    def inspect(%{kind: kind, kept: kept, total: total, prefix: prefix}, opts) do
      of = if total, do: " of #{total}", else: ""
      head = "#ElixirScope.Truncated<#{kind}: #{kept}#{of} kept"
      tail = if prefix in [nil, ""], do: ">", else: concat([", ", to_doc(prefix, opts), ">"])
      concat(head, tail)
    end
  end
end
