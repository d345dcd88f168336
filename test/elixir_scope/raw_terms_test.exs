defmodule ElixirScope.RawTermsTest do
  # The switch that forces the NIF interface is one for the whole library.
  use ExUnit.Case, async: false

  import Bitwise

  alias ElixirScope.{Native, RawTerms}
  alias ElixirScope.Test.Generate

  setup_all do
    RawTerms.learn()
    Native.raw_terms(:auto)
    :ok
  end

  setup do
    Generate.seed()
    on_exit(fn -> Native.raw_terms(:auto) end)
  end

  @limits %{whole: true}

  defp raw(term), do: Native.term_encode(term, @limits)
  defp nif(term), do: Native.term_encode(term, Map.put(@limits, :raw, false))

  defp same!(term) do
    bytes = raw(term)
    assert bytes == nif(term)
    assert Native.term_decode(bytes) === term
    term
  end

  # One clause for each place: a size that is a variable from outside wants a pin on new Elixirs, which old ones do not know.
  for offset <- 0..17, size <- Enum.concat(0..40, [512, 513, 519, 520, 1000]) do
    defp part(
           <<_::unquote(offset), bits::bitstring-size(unquote(size)), _::bitstring>>,
           unquote(offset),
           unquote(size)
         ),
         do: bits
  end

  describe "learning" do
    test "finds every shape on this release" do
      shapes = Native.term_shapes()

      expected =
        ~w(words tuple float big_integer binary large_binary sub_binary bit_string map large_map reference fun
        external_fun unaligned_bit_string appended_binary magic_reference alias_reference)

      collisions = if String.to_integer(System.otp_release()) >= 27, do: ["colliding_keys"], else: []
      assert Enum.sort(Map.keys(shapes)) == Enum.sort(expected ++ collisions)
      assert Enum.reject(shapes, &match?({_shape, :raw}, &1)) == []
    end

    test "is done once, whatever it is shown later" do
      before = Native.term_shapes()
      for samples <- [[], :none, [1 | 2], [fn -> :ok end]], do: assert(Native.raw_learn(samples) == :ok)
      assert Native.term_shapes() == before
    end
  end

  describe "the switch" do
    test "leaves terms to the NIF interface, where a fun is its identity alone" do
      salt = make_ref()
      fun = fn -> salt end
      assert Native.term_decode(raw(fun)) == fun
      Native.raw_terms(false)
      assert %ElixirScope.Truncated{kind: :fun_env} = Native.term_decode(Native.term_encode(fun, @limits))
      Native.raw_terms(:auto)
      assert Native.term_decode(Native.term_encode(fun, @limits)) == fun
    end
  end

  describe "words read directly say what the NIF interface says of" do
    test "random terms" do
      for _ <- 1..500, do: same!(Generate.term(4))
    end

    test "integers around every boundary" do
      for bits <- [0, 6, 7, 8, 31, 32, 58, 59, 60, 62, 63, 64, 65, 127, 128, 700],
          offset <- -2..2,
          sign <- [1, -1],
          do: same!(sign * ((1 <<< bits) + offset))
    end

    test "floats, by their bits" do
      for float <- [0.0, 1.5, -2.0e-308, 1.7976931348623157e308, 5.0e-324], do: same!(float)
      <<negative_zero::float>> = <<1::1, 0::63>>
      assert raw(negative_zero) == nif(negative_zero)
      assert <<1::1, 0::63>> == <<Native.term_decode(raw(negative_zero))::float>>
    end

    test "binaries of every size and origin" do
      for size <- Enum.concat(0..130, [255, 256, 4000, 70_000]) do
        bytes = same!(:crypto.strong_rand_bytes(size))
        for at <- [0, min(1, size), div(size, 2), size], do: same!(binary_part(bytes, at, size - at))
        same!(Enum.reduce(1..(rem(size, 40) + 1), bytes, fn n, bytes -> <<bytes::binary, n>> end))
      end
    end

    test "bit strings at every offset" do
      bytes = :crypto.strong_rand_bytes(200)

      for offset <- 0..17, size <- Enum.concat(0..40, [512, 513, 519, 520, 1000]) do
        bits = part(bytes, offset, size)
        same!(bits)
        same!(<<bits::bitstring, 1::1>>)
      end
    end

    test "tuples and lists of every form" do
      for size <- [0, 1, 2, 3, 255, 256, 5000] do
        list = same!(Enum.to_list(1..size//1))
        same!(List.to_tuple(list))
        same!(list ++ :improper)
      end
    end

    test "references of every kind" do
      alias = :erlang.alias()
      for ref <- [make_ref(), alias, :atomics.new(1, []), :ets.new(:table, [])], do: same!(ref)
      monitored = spawn_link(fn -> Process.sleep(:infinity) end)
      same!(:erlang.monitor(:process, monitored, alias: :demonitor))
      :erlang.unalias(alias)
      same!(alias)
    end

    test "local pids and ports, and external funs" do
      for term <- Process.list() ++ Port.list(), do: same!(term)

      for fun <- [&Enum.map/2, &:erlang.element/2, Function.capture(:no_such_module, :no_such_function, 7)],
          do: same!(fun)
    end
  end

  describe "maps" do
    test "of all sizes, with keys of all kinds, are walked in the VM's order" do
      for size <- Enum.concat([0..70, [255, 256, 257, 1000, 4096, 20_000]]),
          key <- [& &1, &{&1}, &"key #{&1}", &(&1 * 1.5)] do
        map = Map.new(1..size//1, &{key.(&1), &1})
        assert raw(map) == nif(map)
        assert Native.term_decode(raw(map)) == map
      end
    end

    test "whose keys collide in 32 bits of their hash are walked whole" do
      # of 200,000 keys some pairs collide in all 32 bits, where a release hashes to so many
      map = Map.new(1..200_000, &{&1, -&1})
      assert raw(map) == nif(map)
      assert Native.term_decode(raw(map)) == map
    end

    test "stay readable while they shrink and grow across the border of 32 keys" do
      Enum.reduce(1..100, %{}, fn n, map -> same!(Map.put(map, n, n)) end)
      Enum.reduce(1..100, Map.new(1..100, &{&1, &1}), fn n, map -> same!(Map.delete(map, n)) end)
    end

    if String.to_integer(System.otp_release()) >= 27 do
      test "with nodes of keys that collide in all bits of their hash are walked whole" do
        for colliding <- [2, 3, 16, 17, 40] do
          # built at once: the VM cannot order such keys, which it does when it adds one, or compares two maps
          pairs = Enum.map(1..40, &{&1, &1}) ++ Enum.map(1..colliding, &{twin(&1), -&1})
          map = :maps.from_list(pairs)
          assert map_size(map) == 40 + colliding
          back = Native.term_decode(raw(map))
          by_value = fn map -> map |> :maps.to_list() |> Enum.sort_by(&elem(&1, 1)) end
          assert by_value.(back) == Enum.sort_by(pairs, &elem(&1, 1))
        end
      end

      # Funs of unlike code but with the same index and hash; the VM's own hash of terms looks at no more.
      defp twin(n) do
        fun = fn -> :ok end
        <<131, 112, size::32, arity, _uniq::binary-16, rest::binary>> = :erlang.term_to_binary(fun)
        :erlang.binary_to_term(<<131, 112, size::32, arity, n::128, rest::binary>>)
      end
    end
  end

  describe "local funs" do
    test "come back equal, with what they close over" do
      for arity_and_env <- 1..50 do
        a = Generate.term(3)
        b = {self(), arity_and_env, a}

        for fun <- [fn -> a end, fn x -> {x, b} end, fn x, y, z -> [x, y, z, a | b] end] do
          back = Native.term_decode(raw(fun))
          assert back == fun
          assert :erlang.fun_info(back, :env) == :erlang.fun_info(fun, :env)
        end
      end
    end

    test "of other modules, without an environment, and as captures of private functions" do
      for fun <- [fn -> :ok end, &private/1, fn _, _, _, _, _ -> 1 end] do
        assert Native.term_decode(raw(fun)) == fun
      end
    end

    defp private(x), do: x

    test "over terms that share take as many steps as the budget has bytes" do
      shared = Enum.reduce(1..30, :leaf, fn _, x -> {x, x} end)
      {bytes, steps} = Native.term_encode(fn -> shared end, %{bytes: 2000, steps: true})
      assert byte_size(bytes) < 2100
      assert steps < 2100
    end
  end

  if String.to_integer(System.otp_release()) >= 29 do
    describe "native records" do
      test "which the NIF interface does not know, are told by their text" do
        atoms = for name <- ~w(some_module pair a b), into: <<>>, do: <<119, byte_size(name), name::binary>>
        record = :erlang.binary_to_term(<<131, 67, 2::32, 0, atoms::binary, 97, 1, 97, 2>>)
        assert inspect(record) =~ "pair"

        for encode <- [&raw/1, &nif/1] do
          assert [:before, %ElixirScope.Truncated{prefix: text}] =
                   Native.term_decode(encode.([:before, record]))

          assert text =~ "pair"
        end
      end
    end
  end

  describe "a binary that the host appends to" do
    # The VM copies a binary that it may not extend in place, the whole of it for each byte.
    @first 512
    defp append(times, record), do: append(<<0::@first*8>>, times, record)
    defp append(bytes, 0, _record), do: byte_size(bytes)

    defp append(bytes, n, record) do
      record.(bytes)
      append(<<bytes::binary, n>>, n - 1, record)
    end

    # The words of all binaries off the heap that a process made while its binary grew: counted by the VM until a collection,
    # for which there is no cause here. Growth in place adds what was appended, a copy the whole again.
    defp words(times, record) do
      parent = self()
      heap = [min_heap_size: 8_000_000, min_bin_vheap_size: 500_000_000]

      {pid, monitor} =
        :erlang.spawn_opt(
          fn ->
            append(times, record)
            {_, info} = Process.info(self(), :garbage_collection_info)
            send(parent, {self(), Keyword.fetch!(info, :bin_vheap_size)})
          end,
          [:monitor | heap]
        )

      receive do
        {^pid, words} ->
          Process.demonitor(monitor, [:flush])
          words

        {:DOWN, ^monitor, _, _, reason} ->
          flunk("the appending process ended: #{inspect(reason)}")
      end
    end

    test "still grows in place when every step of it is recorded" do
      times = 2_000
      copied = div(times * @first, 8)
      # what the encoder answers are binaries of some 70 bytes
      answers = times * 12
      unrecorded = words(times, fn _bytes -> :ok end)
      assert unrecorded < div(copied, 10)
      assert words(times, &Native.term_encode(&1, %{bytes: 64})) < unrecorded + answers
      # and so the count shows what the NIF interface does to it
      assert words(times, &Native.term_encode(&1, %{bytes: 64, raw: false})) > unrecorded + copied
    end

    test "takes ten times the words for ten times the steps, recorded" do
      record = &Native.term_encode(&1, %{bytes: 64})
      assert words(20_000, record) < 12 * words(2_000, record)
    end

    test "is recorded as it was at each step" do
      Enum.reduce(1..3000, <<>>, fn n, bytes ->
        assert Native.term_decode(raw(bytes)) == :binary.copy(bytes)
        <<bytes::binary, n>>
      end)
    end

    test "of which parts are kept, sent and appended to twice is read right" do
      grown = Enum.reduce(1..2000, <<>>, fn n, bytes -> <<bytes::binary, n>> end)
      part = binary_part(grown, 100, 500)
      copy = :binary.copy(part)
      one = Enum.reduce(1..3000, grown, fn n, bytes -> <<bytes::binary, n>> end)
      two = <<grown::binary, 77>>
      assert Native.term_decode(raw(part)) == copy
      assert Native.term_decode(raw(one)) == :binary.copy(one)
      assert Native.term_decode(raw(two)) == :binary.copy(two)

      task = Task.async(fn -> Native.term_decode(raw({one, two, part})) end)
      assert Task.await(task) == {one, two, part}
    end
  end

  describe "terms that move" do
    test "are read right while other processes churn, and after collection and hibernation" do
      churn = for _ <- 1..4, do: spawn_link(fn -> churn(%{}, 0) end)

      for n <- 1..300 do
        term = {n, Generate.term(4), Map.new(1..50, &{&1, {n, &1}}), fn -> n end}
        bytes = raw(term)
        :erlang.garbage_collect()
        assert Native.term_decode(bytes) == term
        assert raw(term) == bytes
      end

      parent = self()

      sleeper =
        spawn_link(fn ->
          state = %{n: 1, big: Map.new(1..100, &{&1, &1}), text: :binary.copy("text ", 50)}
          :proc_lib.hibernate(__MODULE__, :answer, [parent, state])
        end)

      send(sleeper, :go)
      assert_receive {:bytes, bytes, state}, 5000
      assert Native.term_decode(bytes) == state

      for pid <- churn do
        Process.unlink(pid)
        Process.exit(pid, :kill)
      end
    end
  end

  @doc false
  def answer(parent, state) do
    receive do
      :go -> send(parent, {:bytes, raw(state), state})
    end
  end

  defp churn(map, n) do
    map =
      map |> Map.put(rem(n, 300), {n, make_ref(), :binary.copy(<<n::64>>, 20)}) |> Map.delete(rem(n * 7, 300))

    Native.term_encode(map, %{bytes: 4000})
    churn(map, n + 1)
  end
end
