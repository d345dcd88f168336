defmodule ElixirScope.Query do
  @moduledoc false

  # Asks the recorder's tape. Runs in the calling process, muted; no process of ours stands in between.

  alias ElixirScope.{Error, Events, Muted, Native}
  alias ElixirScope.Query.Options

  @type error :: {:error, :not_running | {:remote, node} | Error.t()}

  @spec get_events(term) :: [Events.t()] | error
  def get_events(opts), do: ask(opts, [], "ElixirScope.get_events/1", &Native.get_events/1)

  @spec count_events(term) :: non_neg_integer | error
  def count_events(opts) do
    ask(opts, [:limit, :order, :payload], "ElixirScope.count_events/1", fn query ->
      query |> Map.merge(%{limit: :infinity, order: :asc, payload: false}) |> Native.count_events()
    end)
  end

  @doc "Validates `opts` and asks `fun`, muted."
  @spec ask(term, [atom], String.t(), (map -> answer)) :: answer | error when answer: term
  def ask(opts, without, what, fun) do
    Muted.run(fn ->
      with true <- Native.running() || {:error, :not_running},
           offset when is_integer(offset) <- Native.time_offset(),
           {:ok, query} <- Options.validate(opts, offset, without) do
        answer(fun.(query), what)
      end
    end)
  end

  @doc "The answer of the native side; an error that is not named in the contract is made an `ElixirScope.Error`."
  @spec answer(term, String.t()) :: term
  def answer({:error, :not_running}, _what), do: {:error, :not_running}
  def answer({:error, %Error{}} = error, _what), do: error
  def answer({:error, reason}, what), do: {:error, %Error{reason: reason, details: %{what: what}}}
  def answer(answer, _what), do: answer
end
