# Programs that tests run, and nobody depends on: since Elixir 1.15 Mix leaves such applications out.
if function_exported?(Mix, :ensure_application!, 1),
  do: for(app <- [:mnesia, :inets, :ssl], do: apply(Mix, :ensure_application!, [app]))

ExUnit.start(capture_log: true)

# Tests are a load that no node bears for long, and want all of it on the tape; those of the guard give bounds of their own.
Application.put_env(:elixir_scope, :guard,
  max_run_queue: :infinity,
  max_memory_bytes: :infinity,
  max_cpu_share: :infinity,
  max_loss: :infinity
)
