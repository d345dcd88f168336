[
  inputs: [
    "{mix,.formatter}.exs",
    "native/*.exs",
    "{lib,test,bench}/**/*.{ex,exs}",
    "examples/*/{mix,.formatter}.exs",
    "examples/*/{config,lib,test}/**/*.{ex,exs}"
  ],
  line_length: 110
]
