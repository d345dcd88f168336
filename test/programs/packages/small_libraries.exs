# Pure libraries, each a little: JSON, templates, options, grammars, names of hosts.
grammar =
  "additive <- multitive '+' additive / multitive ~;\nmultitive <- primary '*' multitive / primary ~;\nprimary <- '(' additive ')' / decimal ~;\ndecimal <- [0-9]+ ~;\n"

run = fn ->
  json =
    for text <- [
          ~S([1, 2.5, "a\u00e9b", null, true, {"k": {"x": []}}]),
          "{",
          "[1,]",
          ~S("\ud83d\ude00"),
          "nul",
          "",
          "-1e3",
          ~S({"a": 1, "a": 2})
        ] do
      caught.(fn ->
        value = :mochijson2.decode(text)
        {value, IO.iodata_to_binary(:mochijson2.encode(value))}
      end)
    end

  encoded =
    for term <- [:a, [1, 2], {:struct, [a: 1]}, {1, 2}, %{}, <<255>>, 1.0e300, self()],
        do: caught.(fn -> :mochijson2.encode(term) |> IO.iodata_to_binary() end)

  floats = for n <- 1..300, do: :mochinum.digits(n / 7 * :math.pow(10, rem(n, 40)))

  templates =
    for text <- [
          "Hi {{name}}, {{{raw}}} {{^none}}no{{/none}}",
          "{{#list}}{{x}},{{/list}}",
          "{{=<% %>=}}<%name%>",
          "{{#open}}",
          "{{! c }}{{&raw}}",
          "{{> part}}"
        ] do
      caught.(fn ->
        :bbmustache.render(text, %{"name" => "<b>", "raw" => "<i>", "list" => [%{"x" => 1}, %{"x" => 2}]},
          key_type: :binary
        )
      end)
    end

  specs = [
    {:host, ?h, ~c"host", {:string, ~c"localhost"}, ~c"Host"},
    {:port, ?p, ~c"port", :integer, ~c"Port"},
    {:verbose, ?v, :undefined, :integer, ~c"Verbosity"},
    {:file, :undefined, :undefined, :string, ~c"File"}
  ]

  options =
    for line <- [~c"-h a -p 12 f", ~c"--port=x f", ~c"-vvv f g", ~c"--none", ~c"-p", ~c""],
        do: caught.(fn -> :getopt.parse(specs, line) end)

  dir = Path.join(System.tmp_dir!(), "scope-neotoma-#{System.pid()}")
  File.mkdir_p!(dir)
  File.write!(Path.join(dir, "sums.peg"), grammar)

  made =
    caught.(fn ->
      :neotoma.file(String.to_charlist(Path.join(dir, "sums.peg")), output: String.to_charlist(dir))
    end)

  {:ok, :sums, beam} = :compile.file(String.to_charlist(Path.join(dir, "sums.erl")), [:binary])
  {:module, :sums} = :code.load_binary(:sums, ~c"sums", beam)

  parsed =
    for text <- [~c"1+2*(3+4)", ~c"1+", ~c"", ~c"((1))*2"],
        do: caught.(fn -> apply(:sums, :parse, [text]) end)

  bad = caught.(fn -> :neotoma_parse.parse(~c"a <- ( ;") end)
  File.rm_rf!(dir)

  hosts =
    for name <- [
          ~c"m\u00fcnchen.de",
          ~c"xn--mnchen-3ya.de",
          ~c"\u05d0\u05d1.com",
          ~c"-a.b",
          ~c"a..b",
          ~c"stra\u00dfe.de"
        ],
        do: {caught.(fn -> :idna.encode(name) end), caught.(fn -> :idna.decode(name) end)}

  {json, encoded, floats, templates, options, made, parsed, bad, hosts}
end

%{apps: [:bbmustache, :getopt, :neotoma, :idna], modules: [:mochijson2, :mochinum, :mochiutf8], run: run}
