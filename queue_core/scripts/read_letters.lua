-- One page of dead letters, bounded in number and in bytes, however large each is.
-- KEYS[1] dead letter stream
-- ARGV[1] id to begin at  ARGV[2] id to end at; empty for the newest there is now  ARGV[3] most letters
-- ARGV[4] bytes of messages after which the page ends  ARGV[5] 1: with the messages and the other fields received
-- Returns {id to end at, id to go on at (empty: nothing is left), letters}; each letter is
-- {id, bytes of its message (-1: it has none), fields and values}.
local letters, bytes, start, last = {}, 0, ARGV[1], ARGV[2]
if last == '' then
  local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
  if not newest then return {'', '', letters} end
  last = newest[1]
end
while #letters < tonumber(ARGV[3]) and bytes < tonumber(ARGV[4]) do
  local letter = redis.call('XRANGE', KEYS[1], start, last, 'COUNT', 1)[1]
  if not letter then return {last, '', letters} end
  local fields, shown, size = letter[2], {}, -1
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    bytes = bytes + #value
    if name == 'message' then size = #value end
    local received = name == 'message' or string.sub(name, 1, 6) == 'field:'
    if ARGV[5] == '1' or name == 'field:redrives' or not received then
      if name == 'fields' and ARGV[5] ~= '1' then value = '' end
      shown[#shown + 1] = name
      shown[#shown + 1] = value
    end
  end
  letters[#letters + 1] = {letter[1], size, shown}
  if letter[1] == last then return {last, '', letters} end
  start = '(' .. letter[1]
end
return {last, start, letters}
