import Config

# Port 0 asks the system for a free one; `Shop.Web.url/0` tells which it was.
config :shop, port: 0

# The recorder stands in the shop's own supervision tree, with these options. All of them have defaults. 32 MiB hold the newest
# half a million events of this shop or so, as 20,000 requests leave them.
# The rings are large, so that nothing is lost where a busy machine keeps the recorder's thread from a core for a while.
config :shop,
  recorder: [
    storage: [memory_limit: 32 * 1024 * 1024],
    capture: [buffer_size: 100_000, total_bytes: 16 * 1024 * 1024]
  ]

# The dispatcher crashes now and then, on purpose; the tape tells it better than the log.
config :logger, level: :warning

# What the tests compare is recorded whole also where the machine has other work to do: the guard has a test of its own.
if config_env() == :test do
  config :logger, level: :emergency

  config :shop,
    recorder: [
      guard: [
        max_run_queue: :infinity,
        max_memory_bytes: :infinity,
        max_cpu_share: :infinity,
        max_loss: :infinity
      ]
    ]
end
