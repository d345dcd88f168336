defmodule Shop.Print.Unit do
  @moduledoc "Figures with their units, as people read them."

  @doc """
  A duration of so many nanoseconds.

      iex> Shop.Print.Unit.time(850)
      "850 ns"

      iex> Shop.Print.Unit.time(25_340_000)
      "25.3 ms"

      iex> Shop.Print.Unit.time(2_500_000_000)
      "2.50 s"
  """
  @spec time(non_neg_integer() | nil) :: String.t()
  def time(nil), do: "?"
  def time(ns) when ns < 1_000, do: "#{ns} ns"
  def time(ns) when ns < 1_000_000, do: float(ns / 1_000, 1) <> " µs"
  def time(ns) when ns < 1_000_000_000, do: float(ns / 1_000_000, 1) <> " ms"
  def time(ns), do: float(ns / 1_000_000_000, 2) <> " s"

  @doc """
  A point of time on a stopwatch, always in milliseconds, so that a column can be compared.

      iex> Shop.Print.Unit.elapsed(1_234_567)
      "1.235 ms"
  """
  @spec elapsed(integer()) :: String.t()
  def elapsed(ns), do: float(ns / 1_000_000, 3) <> " ms"

  @doc """
  The time of day, from a wall time in nanoseconds.

      iex> Shop.Print.Unit.clock(1_700_000_000_123_456_789)
      "22:13:20.123"
  """
  @spec clock(integer()) :: String.t()
  def clock(wall_time) do
    wall_time
    |> div(1_000_000)
    |> DateTime.from_unix!(:millisecond)
    |> DateTime.to_time()
    |> Time.to_string()
  end

  @doc """
  A count, in groups of three digits.

      iex> Shop.Print.Unit.count(1234567)
      "1,234,567"
  """
  @spec count(integer()) :: String.t()
  def count(number) do
    number
    |> Integer.digits()
    |> Enum.reverse()
    |> Enum.chunk_every(3)
    |> Enum.map_join(",", &Enum.join/1)
    |> String.reverse()
  end

  @doc """
  A function.

      iex> Shop.Print.Unit.function({Shop.Cart, :view, 1})
      "Shop.Cart.view/1"
  """
  @spec function(mfa()) :: String.t()
  def function({module, name, arity}), do: Exception.format_mfa(module, name, arity)

  @doc """
  A number of bytes.

      iex> Shop.Print.Unit.bytes(5_400_000)
      "5.1 MiB"
  """
  @spec bytes(non_neg_integer()) :: String.t()
  def bytes(bytes) when bytes < 1024 * 1024, do: float(bytes / 1024, 1) <> " KiB"
  def bytes(bytes), do: float(bytes / 1024 / 1024, 1) <> " MiB"

  defp float(number, decimals), do: :erlang.float_to_binary(number, decimals: decimals)
end
