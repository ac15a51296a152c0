-- Acknowledge entries, each only where this consumer still holds it: XACK does not look whose they are.
-- KEYS[1] stream  KEYS[2] processing hash
-- ARGV[1] group  ARGV[2] consumer  ARGV[3...] entry ids
-- Returns for each 1 where it was acknowledged, 0 where nobody holds it any more, -1 where another consumer does.
local answers = {}
for i = 3, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)[1]
  if pending and pending[2] == ARGV[2] then
    redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
    redis.call('HDEL', KEYS[2], ARGV[i])
    answers[#answers + 1] = 1
  else
    answers[#answers + 1] = pending and -1 or 0
  end
end
return answers
