-- Count a delivery of entries that were taken over, then hand them out: in this order, so that one which ends whoever
-- receives it is counted too.
-- KEYS[1] stream  KEYS[2] retry set  KEYS[3] processing hash
-- ARGV[1] group  ARGV[2] consumer  ARGV[3] most deliveries that may end without an outcome  ARGV[4...] entry ids
-- Returns for each {deliveries, failures, fields}: its deliveries, this one included, 0 where this consumer no longer
-- holds it, or it was deleted; its failed attempts; its fields and values, none where it was delivered too often.
local begun = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])[1]
  local entry = pending and redis.call('XRANGE', KEYS[1], id, id)[1]
  -- A deleted one is left alone: XCLAIM would drop it in silence, while claim.lua reports it as lost.
  if entry then
    local deliveries, failures = pending[4] + 1, failures_in(redis.call('HGET', KEYS[3], id))
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'RETRYCOUNT', deliveries, 'JUSTID')
    local deadly = pending[4] - failures >= tonumber(ARGV[3])
    begun[#begun + 1] = {deliveries, failures, deadly and {} or entry[2]}
  else
    begun[#begun + 1] = {0, 0, {}}
  end
end
return begun
