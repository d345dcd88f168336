defmodule ElixirScope.Life.Living do
  @moduledoc false

  # The processes that live now, as the VM tells of each. One that ends meanwhile is left out.

  alias ElixirScope.Life.Look

  @items [:parent, :registered_name, :links, :initial_call, :current_function]

  @type look :: %{
          parent: pid | nil,
          name: atom | nil,
          links: [pid],
          initial_call: mfa,
          current: mfa | nil
        }

  @doc "At most `most` processes; how many there are."
  @spec all(pos_integer) :: {%{pid => look}, count :: non_neg_integer}
  def all(most) do
    pids = Process.list()

    looks =
      for pid <- Enum.take(pids, most), look = look(pid), into: %{} do
        {pid, look}
      end

    {looks, length(pids)}
  end

  @spec look(pid) :: look | nil
  def look(pid) do
    with [
           parent: parent,
           registered_name: name,
           links: links,
           initial_call: initial,
           current_function: current
         ] <-
           Process.info(pid, @items) do
      %{
        parent: if(is_pid(parent), do: parent),
        name: if(name not in [[], :undefined], do: name),
        links: Enum.filter(links, &is_pid/1),
        initial_call: begun(pid, initial),
        current: if(is_tuple(current), do: current)
      }
    end
  end

  # What `proc_lib` calls by itself tells nothing.
  defp begun(pid, {:proc_lib, _function, _arity} = initial), do: Look.started_as(pid) || initial
  defp begun(_pid, initial), do: initial
end
