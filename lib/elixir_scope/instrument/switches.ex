defmodule ElixirScope.Instrument.Switches do
  @moduledoc false

  # What of the code that records itself does so at the moment: a strategy that narrows what was compiled in, and rules for
  # modules and functions, of which the last one that fits decides. The native library applies them; here they are kept, in a
  # persistent term, so that they outlive every process of ours.

  alias ElixirScope.Native

  @key __MODULE__

  @type target :: module | {module, atom, arity}
  @type t :: %{strategy: nil | :minimal | :balanced | :full_trace, rules: [{target, boolean}]}

  @spec get() :: t
  def get, do: :persistent_term.get(@key, %{strategy: nil, rules: []})

  @doc "Lets no more be recorded than the strategy says; nil takes that back."
  @spec narrow(t, nil | :minimal | :balanced | :full_trace) :: t
  def narrow(switches, strategy), do: %{switches | strategy: strategy}

  @doc "Switches modules and functions on or off. What was said of a module's functions before does not outlast the module's rule."
  @spec turn(t, [target], boolean) :: t
  def turn(switches, targets, on?) do
    Enum.reduce(targets, switches, fn target, switches ->
      rules = Enum.reject(switches.rules, fn {earlier, _on?} -> covers?(target, earlier) end)
      %{switches | rules: rules ++ [{target, on?}]}
    end)
  end

  @doc "Forgets what was said of these modules and their functions."
  @spec forget(t, [module]) :: t
  def forget(switches, modules) do
    rules = Enum.reject(switches.rules, fn {target, _on?} -> Enum.any?(modules, &covers?(&1, target)) end)
    %{switches | rules: rules}
  end

  defp covers?(target, target), do: true
  defp covers?(module, {module, _function, _arity}), do: true
  defp covers?(_target, _earlier), do: false

  @doc "Puts them in effect."
  @spec apply(t) :: :ok
  def apply(switches) do
    :persistent_term.put(@key, switches)
    Native.switch(switches)
  end
end
