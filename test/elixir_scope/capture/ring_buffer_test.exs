defmodule ElixirScope.Capture.RingBufferTest do
  use ExUnit.Case, async: false

  import ElixirScope.Test.RecorderCase, only: [message_of: 1]
  import ElixirScope.Test.Wait

  alias ElixirScope.Capture.RingBuffer
  alias ElixirScope.Error

  doctest RingBuffer

  defp ring(opts) do
    {:ok, ring} = RingBuffer.new(opts)
    ring
  end

  defp write_all(ring, terms), do: Enum.map(terms, &RingBuffer.write(ring, &1))

  describe "new/1" do
    test "says which option is wrong" do
      for {opts, message} <- [
            {[size: 1_000],
             "invalid value for option :size: expected a power of two from 1 to 16777216, got: 1000"},
            {[size: 0], "invalid value for option :size: expected a power of two from 1 to 16777216, got: 0"},
            {[size: 0x200_0000],
             "invalid value for option :size: expected a power of two from 1 to 16777216, got: 33554432"},
            {[size: -8],
             "invalid value for option :size: expected a power of two from 1 to 16777216, got: -8"},
            {[size: 8.0],
             "invalid value for option :size: expected a power of two from 1 to 16777216, got: 8.0"},
            {[overflow_strategy: :block],
             "invalid value for option :overflow_strategy: expected :drop_oldest, :drop_newest or {:block, timeout_ms}, got: :block"},
            {[overflow_strategy: {:block, -1}],
             "invalid value for option :overflow_strategy: expected :drop_oldest, :drop_newest or {:block, timeout_ms}, got: {:block, -1}"},
            {[slots: 8],
             "unknown option :slots: expected one of the options :size, :overflow_strategy, got the value: 8"},
            {8, "invalid value for option :opts: expected a keyword list of options, got: 8"}
          ] do
        assert message_of(RingBuffer.new(opts)) == message
      end
    end

    test "needs no running recorder" do
      assert RingBuffer.size(ring(size: 16)) == 16
    end
  end

  describe "write/2 and read/2" do
    test "pass terms of any kind, whole and unmasked" do
      ring = ring(size: 16)

      terms = [
        %{password: "hunter2"},
        :binary.copy("x", 1_000_000),
        Enum.to_list(1..100_000),
        Enum.reduce(1..10_000, :leaf, fn _n, inner -> {inner} end),
        &Enum.map/2,
        make_ref(),
        [1 | 2],
        <<1::3>>
      ]

      assert write_all(ring, terms) |> Enum.uniq() == [:ok]
      assert {^terms, 8, 0} = RingBuffer.read_batch(ring, 0, 100)

      secret = 42
      :ok = RingBuffer.write(ring, fn x -> x + secret end)
      assert {:ok, fun, 9} = RingBuffer.read(ring, 8)
      assert is_function(fun, 1) and fun.(1) == 43
    end

    test "let each reader have a position of its own" do
      ring = ring(size: 8, overflow_strategy: :drop_newest)
      write_all(ring, [:a, :b])
      assert RingBuffer.read(ring, 0) == {:ok, :a, 1}
      assert RingBuffer.read(ring, 1) == {:ok, :b, 2}
      assert RingBuffer.read(ring, 2) == :empty
      assert RingBuffer.read(ring, 5) == :empty
      # A slower reader: what is acknowledged may be gone, but is not another term.
      assert RingBuffer.read(ring, 0) in [{:ok, :a, 1}, {:lapped, 2, 2}]
    end

    test "go on after many laps" do
      ring = ring(size: 4)

      Enum.reduce(1..1_000, 0, fn n, position ->
        :ok = RingBuffer.write(ring, n)
        assert {:ok, ^n, next} = RingBuffer.read(ring, position)
        next
      end)
    end

    test "refuse a position or a number that is none" do
      ring = ring(size: 4)

      for position <- [-1, :first, 1.0, Bitwise.bsl(1, 64)] do
        message =
          "invalid value for option :position: expected a position: 0, or what a read answered as the next one, " <>
            "got: #{inspect(position)}"

        assert message_of(RingBuffer.read(ring, position)) == message
        assert message_of(RingBuffer.read_batch(ring, position, 1)) == message
      end

      assert message_of(RingBuffer.read_batch(ring, 0, 0)) ==
               "invalid value for option :max: expected a positive integer, got: 0"
    end
  end

  describe "a full ring" do
    test "drops its oldest terms, and tells a reader how many it missed" do
      ring = ring(size: 4, overflow_strategy: :drop_oldest)
      assert write_all(ring, 1..10) |> Enum.uniq() == [:ok]
      assert %{total_writes: 10, available: 4, dropped: 6, utilization: 1.0} = RingBuffer.stats(ring)
      assert RingBuffer.read(ring, 0) == {:lapped, 6, 6}
      assert RingBuffer.read_batch(ring, 0, 3) == {[7, 8, 9], 9, 6}
      assert RingBuffer.read(ring, 9) == {:ok, 10, 10}
      assert %{available: 0, dropped: 6} = RingBuffer.stats(ring)
    end

    test "drops the newest terms, until a read frees slots" do
      ring = ring(size: 4, overflow_strategy: :drop_newest)
      assert write_all(ring, 1..6) == [:ok, :ok, :ok, :ok, {:error, :buffer_full}, {:error, :buffer_full}]
      assert %{total_writes: 4, available: 4, dropped: 2} = RingBuffer.stats(ring)

      assert {:ok, 1, 1} = RingBuffer.read(ring, 0)
      assert RingBuffer.write(ring, 7) == :ok
      assert RingBuffer.write(ring, 8) == {:error, :buffer_full}
      assert RingBuffer.read_batch(ring, 1, 10) == {[2, 3, 4, 7], 5, 0}
    end

    test "lets a writer wait, and gives up after its time" do
      ring = ring(size: 1, overflow_strategy: {:block, 50})
      assert RingBuffer.write(ring, 1) == :ok

      {microseconds, answer} = :timer.tc(fn -> RingBuffer.write(ring, 2) end)
      assert answer == {:error, :buffer_full}
      assert microseconds >= 50_000
      assert %{total_writes: 1, dropped: 1} = RingBuffer.stats(ring)

      assert RingBuffer.write(ring(size: 1, overflow_strategy: {:block, 0}), 1) == :ok
    end

    test "lets a waiting writer in when a slot is freed" do
      ring = ring(size: 1, overflow_strategy: {:block, 60_000})
      :ok = RingBuffer.write(ring, 1)
      writer = Task.async(fn -> RingBuffer.write(ring, 2) end)
      until(fn -> match?({:status, status} when status != :running, Process.info(writer.pid, :status)) end)
      assert {:ok, 1, 1} = RingBuffer.read(ring, 0)
      assert Task.await(writer) == :ok
      assert RingBuffer.read(ring, 1) == {:ok, 2, 2}
      assert %{dropped: 0} = RingBuffer.stats(ring)
    end

    test "is full at one slot too" do
      ring = ring(size: 1, overflow_strategy: :drop_newest)
      assert write_all(ring, [1, 2]) == [:ok, {:error, :buffer_full}]
    end
  end

  describe "many writers and readers" do
    test "have one order for all, without a hole" do
      ring = ring(size: 1_024, overflow_strategy: {:block, 60_000})

      writers =
        for w <- 1..8, do: Task.async(fn -> for n <- 1..2_000, do: :ok = RingBuffer.write(ring, {w, n}) end)

      terms = drain(ring, 0, 16_000, [])
      Task.await_many(writers, 60_000)

      for {_writer, numbers} <- Enum.group_by(terms, &elem(&1, 0), &elem(&1, 1)) do
        assert numbers == Enum.to_list(1..2_000)
      end

      assert %{total_writes: 16_000, dropped: 0, available: 0} = RingBuffer.stats(ring)
    end

    test "account for each term: read, missed or left" do
      ring = ring(size: 64, overflow_strategy: :drop_oldest)

      writers =
        for w <- 1..4, do: Task.async(fn -> for n <- 1..5_000, do: :ok = RingBuffer.write(ring, {w, n}) end)

      reader = Task.async(fn -> read_until(ring, 0, 20_000, 0, 0) end)
      Task.await_many(writers, 60_000)
      {read, missed} = Task.await(reader, 60_000)
      assert read + missed == 20_000
      assert %{total_writes: 20_000, available: 0} = RingBuffer.stats(ring)
    end

    test "a writer that is killed leaves no hole" do
      ring = ring(size: 256, overflow_strategy: :drop_oldest)

      for _ <- 1..50 do
        write = fn write ->
          RingBuffer.write(ring, :binary.copy("x", 500))
          write.(write)
        end

        writers = for _ <- 1..4, do: spawn(fn -> write.(write) end)
        Enum.each(writers, &Process.exit(&1, :kill))
        Enum.each(writers, &until_dead/1)
      end

      :ok = RingBuffer.write(ring, :last)
      %{total_writes: total} = RingBuffer.stats(ring)
      assert {:ok, :last, ^total} = RingBuffer.read(ring, total - 1)
    end
  end

  describe "clear/1 and destroy/1" do
    test "clear acknowledges all" do
      ring = ring(size: 4, overflow_strategy: :drop_newest)
      write_all(ring, 1..4)
      assert RingBuffer.clear(ring) == :ok
      assert %{available: 0, total_writes: 4} = RingBuffer.stats(ring)
      assert RingBuffer.write(ring, 5) == :ok
      assert RingBuffer.read(ring, 4) == {:ok, 5, 5}
    end

    test "what is done with a destroyed ring is an error" do
      ring = ring(size: 4)
      assert RingBuffer.destroy(ring) == :ok
      assert RingBuffer.destroy(ring) == :ok

      for answer <- [
            RingBuffer.write(ring, 1),
            RingBuffer.read(ring, 0),
            RingBuffer.read_batch(ring, 0, 1),
            RingBuffer.stats(ring),
            RingBuffer.clear(ring)
          ] do
        assert {:error, %Error{reason: :destroyed}} = answer
        assert message_of(answer) == "the ring has been destroyed: expected one that is in use"
      end
    end

    test "frees a ring that nothing refers to" do
      before = resident_bytes()

      for _ <- 1..200 do
        user =
          spawn(fn ->
            ring = ring(size: 64)
            for _ <- 1..64, do: RingBuffer.write(ring, :binary.copy("x", 10_000))
          end)

        until_dead(user)
      end

      # 128 MB more would be in use otherwise.
      assert resident_bytes() - before < 64_000_000
    end
  end

  describe "inspect/1" do
    test "shows facts" do
      ring = ring(size: 4)
      write_all(ring, 1..6)
      assert inspect(ring) == "#ElixirScope.Capture.RingBuffer<4 of 4 slots in use, 2 dropped, :drop_oldest>"
      RingBuffer.destroy(ring)
      assert inspect(ring) == "#ElixirScope.Capture.RingBuffer<destroyed>"
    end
  end

  # Of this node, by the system's own account: Linux without `ps` tells it in a file.
  defp resident_bytes do
    kilobytes =
      case File.read("/proc/self/status") do
        {:ok, status} ->
          Regex.run(~r/^VmRSS:\s*(\d+)/m, status, capture: :all_but_first)

        {:error, _no_linux} ->
          "ps" |> System.cmd(["-o", "rss=", "-p", System.pid()]) |> elem(0) |> String.split()
      end

    String.to_integer(hd(kilobytes)) * 1_024
  end

  defp drain(_ring, _position, 0, batches), do: batches |> Enum.reverse() |> Enum.concat()

  defp drain(ring, position, left, batches) do
    {terms, next, 0} = RingBuffer.read_batch(ring, position, 100)
    drain(ring, next, left - length(terms), [terms | batches])
  end

  defp read_until(_ring, position, position, read, missed), do: {read, missed}

  defp read_until(ring, position, last, read, missed) do
    case RingBuffer.read(ring, position) do
      {:ok, _term, next} -> read_until(ring, next, last, read + 1, missed)
      {:lapped, more, next} -> read_until(ring, next, last, read, missed + more)
      :empty -> read_until(ring, position, last, read, missed)
    end
  end
end
