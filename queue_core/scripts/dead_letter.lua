-- Move one pending entry to the dead letter stream: acknowledged and kept, or neither.
-- KEYS[1] stream  KEYS[2] dead letter stream  KEYS[3] its counts  KEYS[4] retry set  KEYS[5] processing hash
-- KEYS[6] entries moved before
-- ARGV[1] group  ARGV[2] entry id  ARGV[3] channel name  ARGV[4] 1 where the fields received are among those given
-- ARGV[5...] fields and values of the letter
-- Returns the letter's id; false where the entry was no longer pending, or was moved before and is delivered again
-- by a group that was made anew: then it is only acknowledged. So a second call adds nothing.
-- Returns 'send' where the fields received were not given and cannot be copied: the entry was deleted from the stream.

-- As many names and values are kept one by one: a script can pass on only some thousand. More are packed into one field
-- (letter.py says how), and the message is there once more by itself.
local most_parts = 2002
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if pending.err then
  if string.find(pending.err, 'NOGROUP', 1, true) then return false end
  return pending
end
if #pending == 0 then return false end

local function settle()
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
  redis.call('ZREM', KEYS[4], ARGV[2])
  redis.call('HDEL', KEYS[5], ARGV[2])
end

if redis.call('ZSCORE', KEYS[6], ARGV[2]) then
  settle()
  return false
end

local fields = {unpack(ARGV, 5)}
if ARGV[4] ~= '1' then
  local entry = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
  if not entry then return 'send' end
  local packed, body = {}, nil
  for i = 1, #entry[2], 2 do
    local name, value = entry[2][i], entry[2][i + 1]
    if #entry[2] > most_parts then
      packed[#packed + 1] = {name, value}
      if name == 'message' then body = value end
    else
      fields[#fields + 1] = name == 'message' and name or 'field:' .. name
      fields[#fields + 1] = value
    end
  end
  if #packed > 0 then
    fields[#fields + 1] = 'fields'
    fields[#fields + 1] = cjson.encode(packed)
  end
  if body then
    fields[#fields + 1] = 'message'
    fields[#fields + 1] = body
  end
end
local attempts = redis.call('HGET', KEYS[5], ARGV[2])
if attempts then
  fields[#fields + 1] = 'attempts'
  fields[#fields + 1] = attempts
end
-- First the letter: a script that fails half-way does not take back what it did.
local letter = redis.call('XADD', KEYS[2], '*', unpack(fields))
redis.call('ZADD', KEYS[6], string.match(ARGV[2], '^%d+'), ARGV[2])
redis.call('HINCRBY', KEYS[3], ARGV[3], 1)
settle()
return letter
