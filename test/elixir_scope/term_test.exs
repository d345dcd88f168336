defmodule ElixirScope.TermTest do
  # Encoding and decoding of terms, on both ways to look into them: reading words (`raw: true`) and the NIF interface.
  use ExUnit.Case, async: true

  alias ElixirScope.{Native, RawTerms, Redacted, Truncated}

  @ways [raw: true, nif: false]
  @slack 4

  setup_all do
    RawTerms.learn()
    seed = ExUnit.configuration()[:seed]
    IO.puts("terms from seed #{seed}")
    {:ok, seed: seed}
  end

  setup %{seed: seed} do
    :rand.seed(:exsss, {seed, 1, 2})
    :ok
  end

  defp encode(term, options), do: Native.term_encode(term, options)

  defp round_trip(term, options \\ %{}), do: term |> encode(options) |> Native.term_decode()

  # A pid, port, reference of another node, as it would come over the wire.
  defp remote(tag, rest), do: :erlang.binary_to_term(<<131, tag>> <> rest)
  defp node_atom, do: <<119, 9, "other@far">>
  defp remote_pid, do: remote(88, <<node_atom()::binary, 77::32, 1::32, 5::32>>)
  defp remote_port, do: remote(89, <<node_atom()::binary, 12::32, 5::32>>)
  defp remote_reference, do: remote(90, <<3::16, node_atom()::binary, 5::32, 1::32, 2::32, 3::32>>)

  defp unaligned(binary) do
    <<_::3, rest::binary>> = <<0::3, binary::binary>>
    rest
  end

  defp shared(0), do: :leaf

  defp shared(levels) do
    below = shared(levels - 1)
    {below, below}
  end

  defp nested(depth), do: Enum.reduce(1..depth, :core, fn _, inner -> [inner] end)

  defp samples do
    x = :rand.uniform(1000)
    y = {x, "closed over"}
    big = Bitwise.bsl(1, 3000) - 17

    integers =
      for shift <- [0, 6, 7, 8, 27, 28, 31, 32, 58, 59, 60, 62, 63, 64, 65, 127, 500, 2039, 2040, 2048],
          offset <- [-1, 0, 1],
          sign <- [-1, 1],
          do: sign * (Bitwise.bsl(1, shift) + offset)

    floats = [0.0, 1.0, -1.5, 1.0e308, 2.2250738585072014e-308, 5.0e-324, 0.1]
    atoms = [nil, true, :"", :ä, :日本, :"with space", String, :"#{String.duplicate("ü", 255)}"]

    binaries = [
      "",
      "a",
      "0123456789",
      "01234567890123",
      "012345678901234",
      String.duplicate("é", 100),
      :binary.copy(<<0, 255>>, 5000),
      binary_part(:binary.copy("sub", 100), 7, 90),
      unaligned("unaligned"),
      unaligned(:binary.copy("long", 100)),
      Enum.reduce(1..50, "", fn n, appended -> appended <> <<n>> end)
    ]

    bits = [<<1::1>>, <<5::3>>, <<1, 2, 3::7>>, <<0::2001>>, <<unaligned(<<1, 2, 3, 4>>)::binary, 1::2>>]
    <<_::5, cut_out::bitstring-size(77), _::bitstring>> = :binary.copy(<<0b10110101>>, 20)

    lists = [
      [],
      [1],
      [1 | 2],
      [[], [[]]],
      [1, [2 | {3}] | :tail],
      String.to_charlist("charlist"),
      Enum.to_list(1..300)
    ]

    tuples = [{}, {1}, {1, :a, "0123456789"}, List.to_tuple(Enum.to_list(1..300))]

    maps = [
      %{},
      %{:a => 1, "b" => %{c: [1, 2]}, 1 => 1.0, 1.0 => 1},
      %{%{%{} => 1} => [%{}]},
      %{nil: nil, __struct__: Range, first: 1, last: 2, step: 1},
      1..5,
      MapSet.new([1, :b]),
      ~r/a+/,
      DateTime.from_unix!(0)
    ]

    {_, alias_reference} = {:alias, :erlang.alias()}
    references = [make_ref(), alias_reference, :atomics.new(1, []), :ets.new(:t, []), remote_reference()]
    processes = [self(), hd(Process.list()), remote_pid(), remote_port() | Enum.take(Port.list(), 2)]
    exports = [&Enum.map/2, &String.length/1, :erlang.make_fun(:no_such_module, :no_function, 3)]
    funs = [fn -> x end, fn a -> {a, y, big} end, &(&1 + x), fn -> 1 end, fn -> fn -> {x, y} end end]

    plain =
      [big, -big, cut_out] ++
        integers ++
        floats ++ atoms ++ binaries ++ bits ++ lists ++ tuples ++ maps ++ references ++ processes ++ exports

    {plain, funs}
  end

  # A random term; `size` bounds how much is in it.
  defp any_term(size, leaves) do
    case :rand.uniform(if(size > 1, do: 9, else: 4)) do
      n when n <= 4 -> elem(leaves, :rand.uniform(tuple_size(leaves)) - 1)
      5 -> for(_ <- some(size), do: any_term(div(size, 3), leaves))
      6 -> List.to_tuple(for(_ <- some(size), do: any_term(div(size, 3), leaves)))
      7 -> Map.new(some(size), fn _ -> {any_term(div(size, 4), leaves), any_term(div(size, 3), leaves)} end)
      8 -> [any_term(div(size, 2), leaves) | any_term(div(size, 2), leaves)]
      9 -> Map.new(some(size * 4), fn n -> {n, any_term(1, leaves)} end)
    end
  end

  defp some(size), do: Enum.take(1..60//1, :rand.uniform(min(size, 60) + 1) - 1)

  for {way, raw} <- @ways do
    describe "a term (#{way})" do
      @raw raw

      test "of any type comes back equal" do
        {plain, funs} = samples()

        for term <- if(@raw, do: plain ++ funs, else: plain) do
          assert round_trip(term, %{raw: @raw}) === term
          assert round_trip(term, %{raw: @raw, whole: true}) === term

          assert round_trip([term | {term, %{term => term}}], %{raw: @raw}) === [
                   term | {term, %{term => term}}
                 ]
        end
      end

      test "made at random comes back equal, and fits any budget", %{seed: seed} do
        {plain, funs} = samples()
        leaves = List.to_tuple(if(@raw, do: plain ++ funs, else: plain))

        for number <- 1..400 do
          term = any_term(20, leaves)
          where = "seed #{seed}, term #{number}"
          assert round_trip(term, %{raw: @raw}) === term, where

          bytes = :rand.uniform(2000) - 1
          budget = %{raw: @raw, bytes: bytes, depth: :rand.uniform(6) - 1, length: :rand.uniform(20)}
          {cut, steps} = encode(term, Map.put(budget, :steps, true))
          assert byte_size(cut) <= bytes + @slack, where
          assert steps <= bytes + 1, where
          refute match?({:error, text} when is_binary(text), Native.term_decode(cut)), where
        end
      end

      test "that is a map of any size comes back equal" do
        for size <- Enum.concat(0..200, [1000, 100_000]) do
          map = Map.new(1..size//1, &{&1, {&1}})
          assert round_trip(map, %{raw: @raw}) === map
          map = Map.new(1..size//1, &{"key #{&1}", &1 * 1.5})
          assert round_trip(map, %{raw: @raw}) === map
        end
      end

      test "that is huge comes back equal when kept whole" do
        for term <- [:binary.copy("x", 1_000_000), Enum.to_list(1..100_000), nested(10_000)] do
          assert round_trip(term, %{raw: @raw, whole: true}) === term
        end

        assert encode(:binary.copy("x", 65 * 1024 * 1024), %{raw: @raw, whole: true}) == {:error, :too_big}
      end

      test "that is huge, deep or shared costs no more than its budget" do
        below = shared(30)

        for term <- [
              :binary.copy("x", 1_000_000),
              <<0::8_000_001>>,
              Enum.to_list(1..100_000),
              nested(10_000),
              Map.new(1..100_000, &{&1, &1}),
              below,
              fn -> below end,
              [fn -> [below] end | below],
              Bitwise.bsl(1, 1_000_000)
            ] do
          {bytes, steps} = encode(term, %{raw: @raw, bytes: 2048, depth: 64, steps: true})
          assert byte_size(bytes) <= 2048 + @slack
          assert steps <= 2049
          refute Native.term_decode(bytes) === term
        end
      end

      test "is cut with a mark that says what is missing" do
        cut = fn term, options -> round_trip(term, Map.put(options, :raw, @raw)) end

        text = String.duplicate("ä", 500)
        assert %Truncated{kind: :binary, kept: kept, total: 1000, prefix: prefix} = cut.(text, %{bytes: 101})
        assert kept == byte_size(prefix) and kept > 50 and String.starts_with?(text, prefix)

        assert %Truncated{kind: :bits, kept: kept, total: 8001, prefix: prefix} =
                 cut.(<<0::8001>>, %{bytes: 101})

        assert kept == bit_size(prefix) and kept > 400

        assert [1, 2, 3, %Truncated{kind: :list, kept: 3, total: nil}] = cut.([1, 2, 3, 4, 5], %{length: 3})
        assert [1, 2, 3] = cut.([1, 2, 3], %{length: 3})

        pairs = Map.to_list(cut.(Map.new(1..100, &{&1, &1}), %{length: 10}))
        assert [{mark, mark}] = for({%Truncated{}, _} = pair <- pairs, do: pair)
        assert %Truncated{kind: :map, kept: 10, total: 100} = mark
        assert length(pairs) == 11

        # keys that are cut to the same mark
        assert cut = %{} = cut.(%{{1} => 1, {2} => 2}, %{depth: 1})
        assert Enum.any?(cut, &match?({%Truncated{kind: :map, kept: 1, total: 2}, _}, &1))

        cut = fn term, options -> round_trip(term, Map.put(options, :raw, @raw)) end
        assert [[%Truncated{kind: :depth, kept: 0}]] = cut.([[[1]]], %{depth: 2})
        assert [[%Truncated{kind: :depth, kept: 0, total: 3}, []]] = cut.([[{1, 2, 3}, []]], %{depth: 2})

        tuple = List.to_tuple(Enum.to_list(1..100))
        result = cut.(tuple, %{bytes: 50})
        assert %Truncated{kind: :tuple, kept: kept, total: 100} = elem(result, tuple_size(result) - 1)
        assert kept == tuple_size(result) - 1 and kept > 30

        assert %{a: %Truncated{kind: :bytes}} = cut.(%{a: Bitwise.bsl(1, 3000)}, %{bytes: 60})
        assert %Truncated{kind: :bytes, kept: 0, total: nil} = cut.({1, 2}, %{bytes: 0})
      end

      test "has the values under secret keys masked, wherever they stand" do
        masked = fn term, keys -> round_trip(term, %{raw: @raw, redact: keys}) end
        keys = [:password, "api_key", {:token, "token"}]

        assert %{password: %Redacted{}, user: "me"} = masked.(%{password: "x", user: "me"}, keys)

        assert masked.(%{"Password" => {1}, "API-Key" => [1], "pass" => 1}, keys) ==
                 %{"Password" => %Redacted{}, "API-Key" => %Redacted{}, "pass" => 1}

        assert masked.([password: 1, user: 2], keys) == [password: %Redacted{}, user: 2]

        assert masked.([{"token", 1}, {String.to_charlist("Api-Key"), 2}, {"other", 3}], keys) == [
                 {"token", %Redacted{}},
                 {String.to_charlist("Api-Key"), %Redacted{}},
                 {"other", 3}
               ]

        assert masked.({:token, %{a: 1}}, keys) == {:token, %Redacted{}}
        assert masked.({:token, 1, 2}, keys) == {:token, 1, 2}
        assert masked.(%{unaligned("password") => 1}, keys) == %{"password" => %Redacted{}}
        assert masked.(%{"Api-Key": 1, API_KEY: 2}, keys) == %{"Api-Key": %Redacted{}, API_KEY: %Redacted{}}

        large = Map.new(1..100, &{"key #{&1}", &1}) |> Map.put("TOKEN", 1) |> Map.put(:password, 1)
        assert masked.(large, keys) == %{large | "TOKEN" => %Redacted{}, :password => %Redacted{}}

        inside = [%{list: [{:a, %{password: shared(30)}}]}]
        assert masked.(inside, keys) == [%{list: [{:a, %{password: %Redacted{}}}]}]

        assert masked.(%{password: 1}, false) == %{password: 1}
        assert masked.(%{__struct__: Range, password: 1}, [:__struct__, :password]).__struct__ == Range
      end

      test "shows only the values under the keys that are allowed" do
        shown = fn term -> round_trip(term, %{raw: @raw, redact: {:only, [:id, "name"]}}) end
        assert shown.(%{"NAME" => 3, id: 1, secret: 2}) == %{"NAME" => 3, id: 1, secret: %Redacted{}}
        assert shown.(%{1 => %{id: 1, age: 2}}) == %{1 => %{id: 1, age: %Redacted{}}}
        assert shown.(id: 1, age: 2) == [id: 1, age: %Redacted{}]
        assert shown.({:ok, 5}) == {:ok, 5}
        assert shown.(%URI{}) |> Map.fetch!(:__struct__) == URI
      end

      test "that was encoded and then corrupted gives an error or some term, never a crash" do
        {plain, funs} = samples()
        terms = [{1, :a, "0123456789"}, %{a: [1 | 2], b: %{c: make_ref()}}, Map.new(1..50, &{&1, [&1]})]

        for term <- terms ++ Enum.take_random(plain, 40) ++ funs do
          bytes = encode(term, %{raw: @raw, bytes: 300})

          for at <- 0..(byte_size(bytes) - 1), flip <- [1, 0x80, :rand.uniform(255)] do
            before = binary_part(bytes, 0, at)
            byte = :binary.at(bytes, at)
            rest = binary_part(bytes, at + 1, byte_size(bytes) - at - 1)
            corrupt = <<before::binary, Bitwise.bxor(byte, flip), rest::binary>>
            # that it is a term can be seen: all of it is walked
            assert corrupt |> Native.term_decode() |> :erlang.phash2() |> is_integer()
            assert {:error, _} = Native.term_decode(before)
          end
        end
      end
    end
  end

  describe "a fun" do
    test "that was decoded can be called" do
      x = 41
      f = fn y, z -> x + y * z end
      decoded = round_trip(f, %{raw: true})
      assert decoded === f and decoded.(1, 1) == 42
      assert round_trip(&String.upcase/1).("a") == "A"
    end

    test "is its identity on the NIF interface" do
      x = 1
      f = fn -> x end
      assert %Truncated{kind: :fun_env, prefix: "#Fun<" <> _, total: nil} = round_trip(f, %{raw: false})
    end

    test "whose environment was cut is a mark that says how much of it there was" do
      x = :binary.copy("x", 500)
      y = List.to_tuple(Enum.to_list(1..100))
      f = fn -> {x, y} end

      assert %Truncated{kind: :fun_env, total: 2, prefix: "#Fun<" <> _} =
               round_trip(f, %{raw: true, bytes: 70})
    end
  end

  describe "bytes that no term was encoded to" do
    test "are refused" do
      for bytes <- [
            <<>>,
            <<0>>,
            <<0x7F>>,
            <<0x80, 0x80>>,
            <<4, 255, 255, 255, 255, 15>>,
            <<0x0D, 1>>,
            <<0x12, 2, 131, 100>>
          ] do
        assert {:error, text} = Native.term_decode(bytes)
        assert is_binary(text)
      end
    end

    test "make no atom" do
      foreign = <<131, 119, 20, "never_seen_atom_name">>
      assert {:error, _} = Native.term_decode(<<0x12, byte_size(foreign)>> <> foreign)
      assert_raise ArgumentError, fn -> String.to_existing_atom("never_seen_" <> "atom_name") end
    end
  end
end
