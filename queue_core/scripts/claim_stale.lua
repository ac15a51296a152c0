-- Take over entries that were delivered long ago and never acknowledged.
-- KEYS[1] stream
-- ARGV[1] group  ARGV[2] consumer  ARGV[3] least idle time in ms  ARGV[4] most entries
-- Returns {entries, deliveries, lost}: entries as XRANGE gives them, deliveries of each (this one counted),
-- and the ids that were pending but are no longer in the stream: somebody deleted them unprocessed.
local taken, deliveries, lost = {}, {}, {}
local stale = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], '-', '+', ARGV[4])
for _, pending in ipairs(stale) do
  local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], pending[1])
  if claimed[1] then
    taken[#taken + 1] = claimed[1]
    deliveries[#deliveries + 1] = pending[4] + 1
  else
    redis.call('XACK', KEYS[1], ARGV[1], pending[1])
    lost[#lost + 1] = pending[1]
  end
end
return {taken, deliveries, lost}
