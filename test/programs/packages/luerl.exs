# Scripts in Lua: closures, tables, strings, errors, and a sort.
scripts = [
  "return 1 + 2, 'a' .. 'b', 7 // 2, 7 % 3, 2 ^ 10",
  "local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end return fib(16)",
  "local t = {} for i = 1, 200 do t[i] = (i * 7919) % 211 end table.sort(t) return table.concat(t, ',')",
  "local s = 0 for w in string.gmatch('one two three', '%a+') do s = s + #w end return s, string.format('%5.2f|%s|%x', 3.14159, 'x', 255)",
  "local t = setmetatable({}, {__index = function(t, k) return k .. '!' end, __call = function(self, x) return x * 2 end}) return t.hello, t(21)",
  "return pcall(function() error({code = 7}) end)",
  "return select('#', nil, nil), tostring(nil), tonumber('0x10'), type(print)",
  "local function counter() local n = 0 return function() n = n + 1 return n end end local c = counter() c() return c(), c()",
  "goto done do return 1 end ::done:: return 2",
  "while true do break end repeat local x = 1 until x == 1 return string.rep('ab', 3), ('x'):upper()",
  "return nil + 1",
  "return undefined.field",
  "error('said so')",
  "local x = = 1",
  "return string.gsub('hello world', 'o', '0')"
]

# An error tells the whole state, and that the seed of Lua's random numbers. luerl_emul:call/3 takes a result apart and puts it
# together again: of that the compiler makes a tail call in plain code, which leaves no frame.
frames = fn stack ->
  for {m, f, a, where} <- Enum.take_while(stack, &(elem(&1, 0) != :elixir_compiler_0)),
      {m, f, a} != {:luerl_emul, :call, 3},
      do: {m, f, is_integer(a) && a, where}
end

stateless = fn
  {:error, {:lua_error, reason, _state}, stack} ->
    {:lua_error, reason, frames.(stack)}

  {:error, {:lua_error, reason, _state}} ->
    {:lua_error, reason}

  {:lua_error, reason, _state} ->
    {:lua_error, reason}

  {:error, reason, stack} ->
    {:error, if(is_tuple(reason), do: elem(reason, 0), else: reason), frames.(stack)}

  other ->
    other
end

run = fn ->
  evaluated = for script <- scripts, do: stateless.(caught.(fn -> :luerl.eval(script, :luerl.init()) end))
  done = for script <- scripts, do: stateless.(caught.(fn -> elem(:luerl.do(script, :luerl.init()), 0) end))
  state = :luerl.set_table(["add"], fn [a, b], state -> {[a + b], state} end, :luerl.init())
  {evaluated, done, caught.(fn -> elem(:luerl.do("return add(1, 2), add(3, add(4, 5))", state), 0) end)}
end

%{apps: [:luerl], run: run}
