defmodule ElixirScope.ConfigTest do
  use ElixirScope.Test.RecorderCase

  alias ElixirScope.{Config, Error}

  doctest ElixirScope.Config
  doctest ElixirScope.Error

  @moduletag recorder: false

  setup do
    on_exit(fn ->
      for {key, _} <- Application.get_all_env(:elixir_scope), do: Application.delete_env(:elixir_scope, key)
    end)
  end

  describe "load/1" do
    test "answers the defaults of the contract" do
      assert {:ok, config} = Config.load()

      assert %{enabled: true, strategy: :balanced, sampling_rate: 1.0, modules: [], exclude_modules: []} =
               config

      assert %{
               buffer_size: 20_000,
               total_bytes: 8_388_608,
               overflow_strategy: :drop_oldest,
               max_payload_bytes: 2_048,
               max_state_bytes: 1_048_576,
               max_depth: 64,
               max_length: :infinity,
               raw_terms: :auto
             } = config.capture

      assert :password in config.capture.redact
      assert config.storage == %{memory_limit: 25_165_824, max_events: :infinity, max_age_ms: :infinity}
    end

    test "puts options before the application's environment, option by option" do
      Application.put_env(:elixir_scope, :capture, max_depth: 5, max_payload_bytes: 100)
      Application.put_env(:elixir_scope, :sampling_rate, 0.5)

      assert {:ok, config} = Config.load(capture: [max_depth: 6])
      assert %{max_depth: 6, max_payload_bytes: 100, max_state_bytes: 1_048_576} = config.capture
      assert config.sampling_rate == 0.5
    end

    test "puts the environment variables before everything" do
      Application.put_env(:elixir_scope, :strategy, :minimal)

      with_env(%{"ELIXIR_SCOPE_ENABLED" => "false", "ELIXIR_SCOPE_STRATEGY" => "full_trace"}, fn ->
        assert {:ok, %{enabled: false, strategy: :full_trace}} =
                 Config.load(strategy: :balanced, enabled: true)
      end)

      with_env(%{"ELIXIR_SCOPE_ENABLED" => "1", "ELIXIR_SCOPE_STRATEGY" => ""}, fn ->
        assert {:ok, %{enabled: true, strategy: :minimal}} = Config.load(enabled: false)
      end)
    end

    test "names the environment variable that is wrong" do
      with_env(%{"ELIXIR_SCOPE_ENABLED" => "maybe"}, fn ->
        assert {:error, %Error{reason: {:invalid_option, "ELIXIR_SCOPE_ENABLED", "maybe", _}}} = Config.load()

        assert message_of(Config.load()) ==
                 "invalid value of the environment variable ELIXIR_SCOPE_ENABLED: expected true, 1, false or 0, got: \"maybe\""
      end)

      with_env(%{"ELIXIR_SCOPE_STRATEGY" => "everything"}, fn ->
        assert message_of(Config.load()) ==
                 "invalid value of the environment variable ELIXIR_SCOPE_STRATEGY: " <>
                   "expected minimal, balanced, full_trace, got: \"everything\""
      end)
    end

    test "names the application's environment where that is wrong" do
      Application.put_env(:elixir_scope, :storage, memory_limit: 7)

      assert message_of(Config.load()) ==
               "invalid value for option [:storage, :memory_limit]: expected an integer of at least 1048576, got: 7 " <>
                 "(in config :elixir_scope)"
    end

    # Each wrong option: the key that the reason names, and its message.
    for {opts, key, message} <- [
          {[strategy: :everything], :strategy,
           "invalid value for option :strategy: expected one of :minimal, :balanced, :full_trace, got: :everything"},
          {[sampling_rate: 1.5], :sampling_rate,
           "invalid value for option :sampling_rate: expected a number from 0 to 1, got: 1.5"},
          {[sampling_rate: "half"], :sampling_rate,
           "invalid value for option :sampling_rate: expected a number from 0 to 1, got: \"half\""},
          {[modules: MyApp], :modules,
           "invalid value for option :modules: expected a list of atoms, got: MyApp"},
          {[exclude_modules: ["MyApp"]], :exclude_modules,
           "invalid value for option :exclude_modules: expected a list of atoms, got: [\"MyApp\"]"},
          {[enabled: :yes], :enabled, "invalid value for option :enabled: expected true or false, got: :yes"},
          {[capture: 5], [:capture],
           "invalid value for option :capture: expected a keyword list of options, got: 5"},
          {[capture: [buffer_size: 0]], [:capture, :buffer_size],
           "invalid value for option [:capture, :buffer_size]: expected a positive integer, got: 0"},
          {[capture: [buffer_bytes: 1]], [:capture, :buffer_bytes],
           "invalid value for option [:capture, :buffer_bytes]: expected an integer of at least 16384, got: 1"},
          {[capture: [total_bytes: 1]], [:capture, :total_bytes],
           "invalid value for option [:capture, :total_bytes]: expected an integer of at least 65536, got: 1"},
          {[capture: [overflow_strategy: :block]], [:capture, :overflow_strategy],
           "invalid value for option [:capture, :overflow_strategy]: expected one of :drop_oldest, :drop_newest, got: :block"},
          {[capture: [max_payload_bytes: 15]], [:capture, :max_payload_bytes],
           "invalid value for option [:capture, :max_payload_bytes]: expected an integer of at least 16, got: 15"},
          {[capture: [max_state_bytes: -1]], [:capture, :max_state_bytes],
           "invalid value for option [:capture, :max_state_bytes]: expected an integer of at least 16, got: -1"},
          {[capture: [max_depth: 0.5]], [:capture, :max_depth],
           "invalid value for option [:capture, :max_depth]: expected a positive integer, got: 0.5"},
          {[capture: [max_length: nil]], [:capture, :max_length],
           "invalid value for option [:capture, :max_length]: expected a positive integer or :infinity, got: nil"},
          {[capture: [raw_terms: true]], [:capture, :raw_terms],
           "invalid value for option [:capture, :raw_terms]: expected one of :auto, false, got: true"},
          {[capture: [redact: [1]]], [:capture, :redact],
           "invalid value for option [:capture, :redact]: expected a list of atoms and strings of at most 64 bytes, " <>
             "{:only, such a list}, or false, got: [1]"},
          {[capture: [redact: [String.duplicate("k", 65)]]], [:capture, :redact],
           "invalid value for option [:capture, :redact]: expected a list of atoms and strings of at most 64 bytes, " <>
             "{:only, such a list}, or false, got: [#{inspect(String.duplicate("k", 65))}]"},
          {[capture: [redact: [:a | :b]]], [:capture, :redact],
           "invalid value for option [:capture, :redact]: expected a list of atoms and strings of at most 64 bytes, " <>
             "{:only, such a list}, or false, got: [:a | :b]"},
          {[storage: [memory_limit: 1.5]], [:storage, :memory_limit],
           "invalid value for option [:storage, :memory_limit]: expected an integer of at least 1048576, got: 1.5"},
          {[storage: [max_events: 0]], [:storage, :max_events],
           "invalid value for option [:storage, :max_events]: expected a positive integer or :infinity, got: 0"},
          {[storage: [max_age_ms: -5]], [:storage, :max_age_ms],
           "invalid value for option [:storage, :max_age_ms]: expected a positive integer or :infinity, got: -5"},
          {[guard: [max_run_queue: 0]], [:guard, :max_run_queue],
           "invalid value for option [:guard, :max_run_queue]: expected a positive integer or :infinity or :auto, got: 0"},
          {[guard: [max_memory_bytes: :all]], [:guard, :max_memory_bytes],
           "invalid value for option [:guard, :max_memory_bytes]: expected a positive integer or :infinity or :auto, got: :all"},
          {[guard: [max_cpu_share: -1]], [:guard, :max_cpu_share],
           "invalid value for option [:guard, :max_cpu_share]: expected a number from 0 to 1024 or :infinity or :auto, got: -1"},
          {[traces: [for: :ever]], [:traces, :for],
           "invalid value for option [:traces, :for]: expected a positive integer, got: :ever"},
          {[traces: [max: 0]], [:traces, :max],
           "invalid value for option [:traces, :max]: expected a positive integer, got: 0"},
          {[traces: [rate: -1]], [:traces, :rate],
           "invalid value for option [:traces, :rate]: expected a positive integer, got: -1"},
          {[stratgy: :minimal], :stratgy,
           "unknown option :stratgy: expected one of the options :enabled, :strategy, :sampling_rate, :modules, " <>
             ":exclude_modules, :crashes, :capture, :storage, :guard, :traces, got the value: :minimal"},
          {[storage: [limit: 5]], [:storage, :limit],
           "unknown option [:storage, :limit]: expected one of the options :memory_limit, :max_events, :max_age_ms, " <>
             "got the value: 5"},
          {[enabled: true, enabled: false], :enabled,
           "invalid value for option :enabled: expected the option once, got: false"},
          {:all, :opts, "invalid value for option :opts: expected a keyword list of options, got: :all"},
          {[{"strategy", :minimal}], :opts,
           "invalid value for option :opts: expected a keyword list of options, got: [{\"strategy\", :minimal}]"}
        ] do
      test "refuses #{inspect(opts)}" do
        opts = unquote(Macro.escape(opts))
        key = unquote(Macro.escape(if(match?([_], key), do: hd(key), else: key)))

        assert {:error, %Error{reason: {:invalid_option, ^key, _value, _expected}}} = Config.load(opts)
        assert message_of(Config.load(opts)) == unquote(message)

        # The same from every door, and nothing is started.
        assert message_of(ElixirScope.start(opts)) == unquote(message)
        assert message_of(ElixirScope.start_link(opts)) == unquote(message)
        refute ElixirScope.running?()
      end
    end
  end

  describe "to_native/1" do
    test "sizes a ring by its events, within the total" do
      assert {:ok, config} = Config.load(capture: [buffer_size: 1_000])
      assert Config.to_native(config).buffer_bytes == 100_000

      assert {:ok, config} = Config.load(capture: [buffer_size: 1_000_000, total_bytes: 1_000_000])
      assert Config.to_native(config).buffer_bytes == 1_000_000

      assert {:ok, config} = Config.load(capture: [buffer_size: 1_000, buffer_bytes: 50_000])
      assert Config.to_native(config).buffer_bytes == 50_000
    end

    test "gives each key to mask as atom and as string" do
      assert {:ok, config} = Config.load(capture: [redact: [:pin, "pin", "x-key"]])
      assert Config.to_native(config).redact == {:mask, [{:pin, "pin"}, {:"x-key", "x-key"}]}

      assert {:ok, config} = Config.load(capture: [redact: {:only, [:id]}])
      assert Config.to_native(config).redact == {:only, [{:id, "id"}]}

      assert {:ok, config} = Config.load(capture: [redact: false])
      assert Config.to_native(config).redact == false
    end
  end

  describe "ElixirScope.get_config/0" do
    test "answers what a start would use, and then what is in use" do
      assert ElixirScope.get_config().sampling_rate == 1.0
      ElixirScope.start(sampling_rate: 0.25)
      assert ElixirScope.get_config().sampling_rate == 0.25
      ElixirScope.stop()
      assert ElixirScope.get_config().sampling_rate == 1.0
    end
  end

  describe "ElixirScope.update_config/2" do
    @tag recorder: []
    test "changes what is recorded from now on" do
      assert ElixirScope.update_config([:capture, :max_length], 2) == :ok
      Trace.event(:short, [1, 2, 3, 4])
      assert [1, 2, %ElixirScope.Truncated{kind: :list}] = the_event().data
      assert ElixirScope.get_config().capture.max_length == 2

      assert ElixirScope.update_config([:capture, :redact], [:nickname]) == :ok
      Trace.event(:masked, %{nickname: "x", password: "y"})

      assert %{nickname: %ElixirScope.Redacted{}, password: "y"} =
               the_event(where: [{[:name], :==, :masked}]).data
    end

    @tag recorder: []
    test "takes a key alone where there is no group" do
      assert ElixirScope.update_config(:sampling_rate, 1) == :ok
      assert ElixirScope.update_config([:sampling_rate], 0.0) == :ok

      Trace.span "sampled out" do
        :ok
      end

      Trace.event(:never_sampled, nil)
      assert %{name: :never_sampled} = the_event()
    end

    @tag recorder: []
    test "names what needs a new start" do
      for path <- [
            :enabled,
            :strategy,
            [:capture, :buffer_size],
            [:capture, :buffer_bytes],
            [:capture, :total_bytes],
            [:capture, :overflow_strategy],
            [:capture, :raw_terms],
            [:storage, :memory_limit],
            [:storage],
            :capture
          ] do
        assert ElixirScope.update_config(path, 1) == {:error, :not_updatable}
      end
    end

    @tag recorder: []
    test "refuses a wrong value or path, and changes nothing" do
      config = ElixirScope.get_config()

      assert message_of(ElixirScope.update_config([:capture, :max_depth], 0)) ==
               "invalid value for option [:capture, :max_depth]: expected a positive integer, got: 0"

      for path <- [
            [:capture, :depth],
            :depth,
            [],
            [:capture, :max_depth, :more],
            "capture",
            [:capture | :max_depth]
          ] do
        assert message_of(ElixirScope.update_config(path, 0)) ==
                 "invalid value for option :path: expected the path of an option, got: #{inspect(path)}"
      end

      assert ElixirScope.get_config() == config
    end

    test "is not there while nothing runs" do
      assert ElixirScope.update_config([:capture, :max_depth], 3) == {:error, :not_running}
    end
  end
end
