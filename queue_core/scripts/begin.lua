-- Count a delivery of entries that were taken over, just before they are processed.
-- KEYS[1] stream
-- ARGV[1] group  ARGV[2] consumer  ARGV[3...] entry ids
-- Returns for each its deliveries, this one included; 0 where this consumer no longer holds it, or it was deleted.
local counted = {}
for i = 3, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])[1]
  counted[#counted + 1] = 0
  -- A deleted one is left alone: XCLAIM would drop it in silence, while claim.lua reports it as lost.
  if pending and redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1] then
    local deliveries = pending[4] + 1
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'RETRYCOUNT', deliveries, 'JUSTID')
    counted[#counted] = deliveries
  end
end
return counted
