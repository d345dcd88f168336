defmodule ElixirScope.Tracing.Messages do
  @moduledoc false

  # What all traces together want to be told of messages: who sent what arrives, and by tokens which is which. One pattern each for all
  # processes, set while some trace needs it.

  alias ElixirScope.Error
  alias ElixirScope.Tracing.{Session, Tokens}

  @typedoc "By which number the tokens of now are known, while there are any."
  @type epoch :: nil | pos_integer

  @doc "Sets what one more trace needs."
  @spec set(plan :: map, Session.t(), epoch) :: {:ok, epoch} | {:error, Error.t()}
  def set(plan, session, epoch) do
    with :ok <- set_receive(plan, session), do: set_tokens(plan, session, epoch)
  end

  defp set_receive(plan, session) do
    with true <- :receive in plan.events,
         {:other, _spec} <- Session.set_receive(session) do
      {:error, %Error{reason: {:traced_by_other, :receive}}}
    else
      _not_wanted_or_set -> :ok
    end
  end

  defp set_tokens(%{causality: :exact}, session, nil) do
    with {:ok, epoch} <- Tokens.claim(),
         :ok <- Session.set_send(session, Tokens.pattern(epoch)) do
      {:ok, epoch}
    else
      {:other, spec} when is_list(spec) ->
        Tokens.release()
        {:error, %Error{reason: {:traced_by_other, :send}}}

      {:other, tracer} ->
        {:error, %Error{reason: {:traced_by_other, :seq_trace}, details: %{tracer: tracer}}}
    end
  end

  defp set_tokens(_plan, _session, epoch), do: {:ok, epoch}

  @doc "Takes away what those that are left do not need. After it, and once their flags are gone, tokens can go: `clear_tokens/2`."
  @spec clear(left :: [map], Session.t()) :: :ok
  def clear(left, session) do
    unless Enum.any?(left, &(:receive in &1.events)), do: Session.clear_receive(session)
    unless exact?(left), do: Session.clear_send(session)
    :ok
  end

  @doc "Gives the system tracer back. Answers how many processes have kept a token of ours."
  @spec clear_tokens(left :: [map], epoch) :: {epoch, kept :: non_neg_integer}
  def clear_tokens(left, epoch) do
    if epoch == nil or exact?(left), do: {epoch, 0}, else: {nil, Tokens.release()}
  end

  defp exact?(plans), do: Enum.any?(plans, &(&1.causality == :exact))
end
