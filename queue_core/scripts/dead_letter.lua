-- Move one pending entry to the dead letter stream: acknowledged and kept, or neither.
-- KEYS[1] stream  KEYS[2] dead letter stream  KEYS[3] its counts  KEYS[4] retry set  KEYS[5] processing hash
-- ARGV[1] group  ARGV[2] entry id  ARGV[3] channel name  ARGV[4...] fields and values of the letter
-- Returns the letter's id; false where the entry was no longer pending, so that a second call adds nothing.
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if pending.err then
  if string.find(pending.err, 'NOGROUP', 1, true) then return false end
  return pending
end
if #pending == 0 then return false end
local fields = {unpack(ARGV, 4)}
local attempts = redis.call('HGET', KEYS[5], ARGV[2])
if attempts then
  fields[#fields + 1] = 'attempts'
  fields[#fields + 1] = attempts
end
-- First the letter: a script that fails half-way does not take back what it did.
local letter = redis.call('XADD', KEYS[2], '*', unpack(fields))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[3], ARGV[3], 1)
redis.call('ZREM', KEYS[4], ARGV[2])
redis.call('HDEL', KEYS[5], ARGV[2])
return letter
