import Config

# Port 0 asks the system for a free one; `Shop.Web.url/0` tells which it was.
config :shop, port: 0

# The recorder stands in the shop's own supervision tree, with these options. All of them have defaults.
config :shop, recorder: [storage: [memory_limit: 32 * 1024 * 1024]]

# The dispatcher crashes now and then, on purpose; the tape tells it better than the log.
config :logger, level: :warning
if config_env() == :test, do: config(:logger, level: :emergency)
