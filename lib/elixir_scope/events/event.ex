defmodule ElixirScope.Events.Event do
  @moduledoc false

  # Declares the struct of an event: the header that all share, then its own fields, with types and documentation.
  #
  #     use ElixirScope.Events.Event,
  #       types: [:process_register],
  #       doc: "A process took a name.",
  #       fields: [name: {atom(), "the name"}]

  @header [
    id: {quote(do: pos_integer() | nil), "names the event for the life of the recorder; ordered like time"},
    event_type: {quote(do: atom()), "what happened"},
    timestamp: {quote(do: integer() | nil), "when: monotonic nanoseconds on the tape's clock"},
    wall_time:
      {quote(do: integer() | nil), "the same as nanoseconds since 1970, as `DateTime.from_unix/2` takes them"},
    node: {quote(do: node() | nil), "where"},
    pid: {quote(do: pid() | nil), "the process that recorded it"},
    correlation_id:
      {quote(do: pos_integer() | :ambiguous | nil),
       "the causal root: the outermost call or span that it goes back to, in this process or, over recorded messages and spawns, " <>
         "in another one. `:ambiguous` where it could be one of several, since equal messages were on their way; `nil` outside of " <>
         "any call or span"},
    parent_id: {quote(do: pos_integer() | nil), "the entry event of the enclosing call or span"}
  ]

  @doc "The fields that all events share."
  @spec header() :: [atom]
  def header, do: Keyword.keys(@header)

  defmacro __using__(opts) do
    [first | _] = types = opts[:types]
    own = opts[:fields]
    all = Keyword.put(@header, :event_type, {union(types), "what happened"}) |> reorder() |> Kernel.++(own)
    struct = for {field, _} <- all, do: {field, if(field == :event_type, do: first)}
    fields = for {field, {type, _doc}} <- all, do: {field, type}

    quote do
      @moduledoc unquote(moduledoc(opts[:doc], opts[:more], types, own))

      @type t :: %__MODULE__{unquote_splicing(fields)}

      defstruct unquote(struct)

      @doc false
      @spec __event__() :: %{types: [atom], fields: [atom]}
      def __event__, do: %{types: unquote(types), fields: unquote(Keyword.keys(own))}
    end
  end

  defp union(types),
    do: Enum.reduce(Enum.reverse(types), fn type, rest -> quote(do: unquote(type) | unquote(rest)) end)

  defp reorder(fields), do: for({key, _} <- @header, do: {key, fields[key]})

  defp moduledoc(doc, more, types, own) do
    """
    #{doc}#{if more, do: "\n\n" <> more}

    Event type #{Enum.map_join(types, ", ", &"`#{inspect(&1)}`")}. Its fields, after the header that `ElixirScope.Events` describes:

    #{fields_doc(own)}
    """
  end

  @doc "A list in Markdown of declared fields."
  @spec fields_doc(keyword) :: String.t()
  def fields_doc(fields \\ @header),
    do: Enum.map_join(fields, "\n", fn {name, {_type, doc}} -> "  * `#{name}` - #{doc}" end)
end
