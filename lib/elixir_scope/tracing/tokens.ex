defmodule ElixirScope.Tracing.Tokens do
  @moduledoc false

  # The tokens of `:seq_trace`, for traces with `causality: :exact`. A process that sends and has no token is given one at that moment, by the
  # match spec of the trace that the send belongs to: so the message itself bears it, no process has to be asked to do anything, and a
  # token that is there already, whosever it is, stays as it is.
  #
  # There is one system tracer on a node: it is taken only where there is none, and given back. Tokens can be taken away only from all processes
  # at once; where some are somebody else's, ours stay until they wear off, and nobody is told of them any more.

  alias ElixirScope.Native
  alias ElixirScope.Tracing.Crowd

  # A token keeps the very term that a match spec gives it as its label, and does not copy it: it would point to nowhere once the pattern is
  # gone. So a label is a small integer: this, by which it is known as ours, and below it the number of its epoch.
  @label 0x0E5C09E
  @epochs 0x1_0000_0000

  @tracer {Native, 0}

  @doc "Becomes the node's system tracer. Answers the label by which tokens of now are known."
  @spec claim() :: {:ok, epoch :: pos_integer} | {:other, tracer :: term}
  def claim do
    # It answers whose place it took, so that nobody can come between.
    case apply(:seq_trace, :set_system_tracer, [@tracer]) do
      free when free in [false, @tracer] ->
        {:ok, @label * @epochs + rem(System.unique_integer([:positive, :monotonic]), @epochs)}

      other ->
        apply(:seq_trace, :set_system_tracer, [other])
        {:other, other}
    end
  end

  @doc "The match spec of sends that gives tokens of an epoch to whoever has none."
  @spec pattern(epoch :: pos_integer) :: [tuple]
  def pattern(epoch) do
    give = [
      {:set_seq_token, :label, epoch},
      {:set_seq_token, :send, true},
      {:set_seq_token, :receive, true},
      {:message, :new}
    ]

    [{[:_, :_], [{:not, {:is_seq_trace}}], give}, {[:_, :_], [], []}]
  end

  @doc "Whether a match spec of sends is one of ours."
  @spec ours?(term) :: boolean
  def ours?([{[:_, :_], _guards, [{:set_seq_token, :label, label} | _]} | _]), do: label?(label)
  def ours?(_other), do: false

  defp label?(label), do: is_integer(label) and div(label, @epochs) == @label

  @doc """
  Is the system tracer no more, and takes the tokens away. Answers how many processes have kept one of ours, since some have one of
  somebody else's, which would be lost.
  """
  @spec release() :: kept :: non_neg_integer
  def release do
    if apply(:seq_trace, :get_system_tracer, []) == @tracer do
      apply(:seq_trace, :set_system_tracer, [false])
      %{ours: ours, others: others} = tokens()
      if others == [], do: apply(:seq_trace, :reset_trace, [])
      if others == [], do: 0, else: length(ours)
    else
      0
    end
  end

  @doc "The processes that have a token: of ours, of somebody else's."
  @spec tokens() :: %{ours: [pid], others: [pid]}
  def tokens do
    having = Crowd.filter(Process.list(), &(token(&1) != nil))
    {ours, others} = Enum.split_with(having, &label?(token(&1)))
    %{ours: ours, others: others}
  end

  # Its label.
  defp token(pid) do
    case :erlang.process_info(pid, :sequential_trace_token) do
      {:sequential_trace_token, {_flags, label, _serial, _from, _last}} -> label
      _none_or_gone -> nil
    end
  end
end
