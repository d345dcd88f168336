[
  import_deps: [:elixir_scope],
  inputs: ["mix.exs", ".formatter.exs", "{config,lib,test}/**/*.{ex,exs}"]
]
