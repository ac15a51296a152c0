-- The newest dead letters, newest first, without anything of their messages; bounded in number and in bytes.
-- KEYS[1] dead letter stream
-- ARGV[1] most letters  ARGV[2] bytes of letters after which it ends
-- Returns {letters in the stream, found}; each one found is {id, channel, reason}, empty where it does not say.
local found, bytes, last = {}, 0, '+'
while #found < tonumber(ARGV[1]) and bytes < tonumber(ARGV[2]) do
  local letter = redis.call('XREVRANGE', KEYS[1], last, '-', 'COUNT', 1)[1]
  if not letter then break end
  local channel, reason = '', ''
  for i = 1, #letter[2], 2 do
    local name, value = letter[2][i], letter[2][i + 1]
    bytes = bytes + #value
    if name == 'channel' then channel = value end
    if name == 'reason' then reason = value end
  end
  found[#found + 1] = {letter[1], channel, reason}
  last = '(' .. letter[1]
end
return {redis.call('XLEN', KEYS[1]), found}
