-- Renew the lease of entries that this consumer still holds: idle since now, their deliveries as they were.
-- KEYS[1] stream
-- ARGV[1] group  ARGV[2] consumer  ARGV[3...] entry ids
-- Returns the ids that it does not hold any more. What another has taken over is left with it; and so is what was
-- deleted from the stream: XCLAIM would drop it in silence, while claim.lua reports it as lost.
local gone = {}
for i = 3, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])[1]
  if not pending then
    gone[#gone + 1] = ARGV[i]
  elseif redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'RETRYCOUNT', pending[4], 'JUSTID')
  end
end
return gone
