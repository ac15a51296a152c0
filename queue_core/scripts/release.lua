-- Give back entries that this consumer holds, so that the next reader gets them at once.
-- They go to a consumer that nobody runs, idle since 1970.
-- KEYS[1] stream
-- ARGV[1] group  ARGV[2] consumer giving back  ARGV[3] consumer that holds what was given back
-- ARGV[4] deliveries to take back: 1 where this one is not to count, 0 where it was not counted  ARGV[5...] entry ids
-- Returns how many it gave back; those that another consumer has taken over are left alone, and so are those
-- deleted from the stream: XCLAIM would drop them in silence, while claim.lua reports them as lost.
local released = 0
for i = 5, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])[1]
  if pending and redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1] then
    local deliveries = math.max(0, pending[4] - ARGV[4])
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, ARGV[i], 'TIME', 0, 'RETRYCOUNT', deliveries, 'JUSTID')
    released = released + 1
  end
end
return released
