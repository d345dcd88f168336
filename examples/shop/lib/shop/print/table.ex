defmodule Shop.Print.Table do
  @moduledoc "Rows of text in columns."

  @doc """
  Prints rows; `:head` is a first row of titles, `:align` says `:left` or `:right` for each column.

      iex> Shop.Print.Table.format([["tea", "2"], ["biscuits", "11"]], align: [:left, :right])
      ["  tea        2", "  biscuits  11"]
  """
  @spec print([[String.t()]], keyword()) :: :ok
  def print(rows, opts), do: rows |> format(opts) |> Enum.each(&IO.puts/1)

  @doc false
  def format(rows, opts) do
    rows = if head = opts[:head], do: [head | rows], else: rows
    align = Keyword.fetch!(opts, :align)

    widths =
      rows
      |> Enum.zip_with(& &1)
      |> Enum.map(fn column -> column |> Enum.map(&String.length/1) |> Enum.max() end)

    for row <- rows do
      [row, widths, align]
      |> Enum.zip_with(fn [text, width, side] -> pad(text, width, side) end)
      |> Enum.join("  ")
      |> then(&String.trim_trailing("  " <> &1))
    end
  end

  defp pad(text, width, :left), do: String.pad_trailing(text, width)
  defp pad(text, width, :right), do: String.pad_leading(text, width)
end
