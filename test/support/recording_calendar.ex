defmodule ElixirScope.Test.RecordingCalendar do
  @moduledoc """
  A calendar that records an event whenever it is asked: code of a user that runs inside a front-door call, as an
  instrumented `Enum` does. In its year 1999 that code throws. (What it raises says that there is no such time.)
  """

  require ElixirScope.Trace

  def naive_datetime_to_iso_days(year, month, day, hour, minute, second, microsecond) do
    ElixirScope.Trace.event(:inside_the_front_door, nil)

    if year == 1999, do: throw(:no_such_year)
    Calendar.ISO.naive_datetime_to_iso_days(year, month, day, hour, minute, second, microsecond)
  end

  defdelegate day_rollover_relative_to_midnight_utc(), to: Calendar.ISO
  defdelegate valid_date?(year, month, day), to: Calendar.ISO
  defdelegate valid_time?(hour, minute, second, microsecond), to: Calendar.ISO

  def datetime_to_string(_, _, _, _, _, _, _, _, _, _, _), do: "a time of the recording calendar"
end
