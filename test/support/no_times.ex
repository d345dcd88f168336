defmodule ElixirScope.Test.NoTimes do
  @moduledoc "Structs of `DateTime` that are no time, as somebody makes who fills one in by hand."

  @doc "Each of them wrong in another way."
  @spec all() :: [struct]
  def all do
    time = ~U[2024-02-28 12:30:00.000000Z]

    [
      %{time | month: 13},
      %{time | day: 30},
      %{time | hour: 25},
      %{time | minute: 60},
      %{time | microsecond: 0},
      %{time | microsecond: {1_000_000, 6}},
      %{time | year: nil},
      %{time | utc_offset: nil},
      %{time | std_offset: "summer"},
      %{time | calendar: nil},
      %{time | calendar: Enum},
      Map.delete(time, :second)
    ]
  end
end
