defmodule ElixirScope.Export.Mermaid.Text do
  @moduledoc false

  # Text that Mermaid shows as it is. What means something to it (`;` and a line's end end a statement, `#` begins an entity, `%%` a
  # comment or a directive, `<` a tag, `$$` a formula, a backslash a line break) is written as the entity of its character.

  @means_something ~c"#;%<>&$\\`" ++ [0x7F]

  @doc "The text on one line, every character as itself."
  @spec escape(String.t()) :: String.t()
  def escape(text) do
    text
    |> String.to_charlist()
    |> Enum.map(&character/1)
    |> IO.iodata_to_binary()
    |> apart()
  end

  defp character(character) when character < 0x20, do: " "
  defp character(character) when character in @means_something, do: entity(character)
  defp character(character), do: <<character::utf8>>

  defp entity(character), do: "##{character};"

  # Mermaid takes the semicolon off an entity that stands behind one of these words on a line, whatever the kind of diagram.
  defp apart(text),
    do: text |> String.replace("style", "#115;tyle") |> String.replace("classDef", "#99;lassDef")
end
