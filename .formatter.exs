# `span "name", metadata do ... end` reads as a block of the language; projects take this over with
# `import_deps: [:elixir_scope]`
locals_without_parens = [span: 2, span: 3]

[
  inputs: [
    "{mix,.formatter}.exs",
    "native/*.exs",
    "{lib,bench,test}/**/*.{ex,exs}"
  ],
  line_length: 110,
  locals_without_parens: locals_without_parens,
  export: [locals_without_parens: locals_without_parens]
]
