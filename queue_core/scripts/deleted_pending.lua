-- Which of some entries are pending although they are no longer in the stream. Changes nothing.
-- KEYS[1] stream
-- ARGV[1] group  ARGV[2...] entry ids
local deleted = {}
for i = 2, #ARGV do
  local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  if not pending.err and #pending == 1 and #redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i]) == 0 then
    deleted[#deleted + 1] = ARGV[i]
  end
end
return deleted
