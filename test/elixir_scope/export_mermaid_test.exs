defmodule ElixirScope.ExportMermaidTest do
  use ExUnit.Case, async: true

  alias ElixirScope.{Error, Events, Export}
  alias ElixirScope.Test.Generate

  doctest ElixirScope.Export, only: [:moduledoc]

  defp pid(n), do: :erlang.list_to_pid(~c"<0.#{n}.7>")

  defp sent(from, to, type, message, more \\ []) do
    struct!(
      %Events.MessageSend{
        sender_pid: from && pid(from),
        receiver_pid: to && pid(to),
        send_type: type,
        message: message
      },
      more
    )
  end

  defp lines(flow, opts \\ []), do: flow |> Export.mermaid(opts) |> String.split("\n", trim: true)

  defp drawn(flow, opts \\ []) do
    flow
    |> lines(opts)
    |> Enum.reject(&(&1 =~ ~r/^sequenceDiagram|^    participant/))
    |> Enum.map(&String.trim/1)
  end

  describe "mermaid/2" do
    test "draws each message once, in order, between those who take part" do
      flow = [
        sent(10, 11, :call, {:add, "tea", 2}),
        sent(11, 12, :cast, :count),
        sent(11, 10, :reply, :ok),
        sent(10, nil, :send, :hello, receiver_name: :nobody, to_dead: true),
        sent(nil, 12, :timer, :tick)
      ]

      assert Export.mermaid(flow, names: %{pid(11) => Shop.Cart}) == """
             sequenceDiagram
                 participant p1 as 0.10.7
                 participant p2 as Shop.Cart 0.11.7
                 participant p3 as 0.12.7
                 participant p4 as :nobody
                 participant p5 as unknown
                 p1->>p2: call {:add, "tea", 2}
                 p2-)p3: cast :count
                 p2-->>p1: reply :ok
                 p1-xp4: send :hello
                 p5--)p3: timer :tick
             """
    end

    test "draws nothing of nothing" do
      assert Export.mermaid([]) == "sequenceDiagram\n"
    end

    test "calls processes what they were addressed by, what they are registered with, and what it is told" do
      name = :"mermaid test #{System.unique_integer([:positive])}"
      Process.register(self(), name)
      flow = [%{sent(10, 11, :send, 1, receiver_name: Shop.Cart) | sender_pid: self()}]
      assert [_, me, cart, _] = lines(flow)
      assert me =~ inspect(name)
      assert cart =~ "Shop.Cart 0.11.7"
      assert [_, _, cart, _] = lines(flow, names: %{pid(11) => "the cart"})
      assert cart =~ "as the cart 0.11.7"
    end

    test "folds what is repeated: one message, and a few that follow each other" do
      call = [sent(1, 2, :call, :get), sent(2, 1, :reply, 1)]

      assert drawn([sent(1, 2, :cast, :a), sent(1, 2, :cast, :a), sent(1, 2, :cast, :b)]) ==
               ["p1-)p2: cast :a (2 times)", "p1-)p2: cast :b"]

      assert drawn(call ++ call ++ call ++ [sent(1, 2, :cast, :b)]) ==
               ["loop 3 times", "p1->>p2: call :get", "p2-->>p1: reply 1", "end", "p1-)p2: cast :b"]
    end

    test "folds messages of one sort when only their tags are shown, or nothing of them" do
      flow = for n <- 1..50, event <- [sent(1, 2, :call, {:put, n}), sent(2, 1, :reply, {:ok, n})], do: event
      assert length(drawn(flow)) == 100

      assert drawn(flow, messages: :tag) ==
               ["loop 50 times", "p1->>p2: call :put", "p2-->>p1: reply :ok", "end"]

      assert drawn(flow, messages: :none) == ["loop 50 times", "p1->>p2: call", "p2-->>p1: reply", "end"]
    end

    test "loses no message by folding" do
      Generate.seed()

      for _ <- 1..200 do
        flow =
          for _ <- 1..Generate.integer(1..60) do
            sent(Generate.integer(1..2), 3, :cast, Generate.integer(1..2))
          end

        assert unfolded(drawn(flow)) == plain(flow)
      end
    end

    test "draws as many as are asked for, the busiest for themselves and the others as one" do
      busy = for n <- 1..3, _ <- 1..5, do: sent(n, 4, :cast, n)
      flow = [sent(50, 51, :cast, :rare) | busy] ++ [sent(52, 4, :cast, :rare)]
      assert participants(flow) == 7
      assert [_, p1, p2, others | _] = lines(flow, participants: 3)
      assert p1 =~ "p1 as 0.1.7"
      assert p2 =~ "p2 as 0.4.7"
      assert others =~ "others as 5 others"
      assert "others-)others: cast :rare" in drawn(flow, participants: 3)
      assert "others-)p2: cast :rare" in drawn(flow, participants: 3)
    end

    test "leaves out what goes beyond the limit, and says how many messages that is" do
      flow = for n <- 1..300, do: sent(1, 2, :cast, n)
      assert length(drawn(flow)) == 201
      assert List.last(drawn(flow, limit: 10)) == "Note over p1: 290 more messages are not shown"
      assert ["p1-)p2: cast 1", "Note over p1: 299 more messages are not shown"] = drawn(flow, limit: 1)
    end

    test "shows as much of a message as there is room for" do
      assert [line] = drawn([sent(1, 2, :cast, String.duplicate("x", 500))], width: 20)
      assert line == "p1-)p2: cast \"#{String.duplicate("x", 16)}..."
    end

    test "writes what means something in the language as entities" do
      assert drawn([sent(1, 2, :send, "a;b#c\n%%{init}%% <b> & $$ \\")], width: 200) ==
               [~S|p1-)p2: send "a#59;b#35;c#92;n#37;#37;{init}#37;#37; #60;b#62; #38; #36;#36; #92;#92;"|]

      # behind these words an entity would lose its semicolon
      assert drawn([sent(1, 2, :send, %{style: "a:b;"})]) == [~S|p1-)p2: send #37;{#115;tyle: "a:b#59;"}|]
    end

    test "is of plain lines whatever a message is" do
      Generate.seed()

      for _ <- 1..300 do
        flow = [sent(1, 2, :send, Generate.term(4), receiver_name: Generate.term(1))]

        assert ["sequenceDiagram", p1, p2, line] =
                 lines(flow, names: %{pid(1) => "#{inspect(Generate.term(2))}\n;"})

        for line <- [p1, p2, line], do: refute(line =~ ~r/;(?<!#\d\d;)(?<!#\d;)(?<!#\d\d\d;)|[\r\t\0%<>]/)
      end
    end

    test "refuses what is no list of messages, and options that it does not have" do
      assert {:error, %Error{reason: {:invalid_option, :flow, [1], _}}} = Export.mermaid([1])
      assert {:error, %Error{reason: {:invalid_option, :flow, :no, _}}} = Export.mermaid(:no)
      assert {:error, %Error{reason: {:invalid_option, :flow, _, _}}} = Export.mermaid([%Events.UserEvent{}])

      assert {:error, %Error{reason: {:invalid_option, :participants, 1, _}}} =
               Export.mermaid([], participants: 1)

      for names <- [%{1 => :a}, %{pid(1) => 1}, %{pid(1) => <<255>>}, :a] do
        assert {:error, %Error{reason: {:invalid_option, :names, ^names, _}}} =
                 Export.mermaid([], names: names)
      end
    end
  end

  defp participants(flow), do: flow |> lines() |> Enum.count(&(&1 =~ "participant"))

  defp plain(flow) do
    for %{sender_pid: from, message: message} <- flow do
      first = flow |> hd() |> Map.fetch!(:sender_pid)
      "#{if from == first, do: "p1", else: "p3"}-)p2: cast #{message}"
    end
  end

  # What a reader of the diagram would say that happened.
  defp unfolded([]), do: []

  defp unfolded(["loop " <> times | rest]) do
    {times, " times"} = Integer.parse(times)
    {group, ["end" | rest]} = Enum.split_while(rest, &(&1 != "end"))
    (group |> unfolded() |> List.duplicate(times) |> Enum.concat()) ++ unfolded(rest)
  end

  defp unfolded([line | rest]) do
    case Regex.run(~r/^(.*) \((\d+) times\)$/, line) do
      [_, line, times] -> List.duplicate(line, String.to_integer(times)) ++ unfolded(rest)
      nil -> [line | unfolded(rest)]
    end
  end
end
