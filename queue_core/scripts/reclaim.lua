-- Give back what consumers hold and no longer work on, so that the next reader gets it at once.
-- Its deliveries stay counted: whoever held it may have died of it.
-- KEYS[1] stream  KEYS[2] retry set
-- ARGV[1] group  ARGV[2] consumer that holds what was given back  ARGV[3] least idle time in ms
-- ARGV[4] id to begin at, as XPENDING takes it  ARGV[5] most entries to look at
-- ARGV[6] only what this consumer holds; empty for all
-- ARGV[7] 1 to take back the delivery of what was delivered once: its reader lives, and has not begun it
-- Returns {given, lost, scheduled, id to go on at}; given and lost as XPENDING gives them, before the change.
-- Scheduled retries are left alone. Lost ones, no longer in the stream, stay pending until they are acknowledged.
local given, lost, scheduled = {}, {}, 0
local holder = ARGV[6] ~= '' and ARGV[6] or nil
local page
if holder then
  page = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], ARGV[4], '+', ARGV[5], holder)
else
  page = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], ARGV[4], '+', ARGV[5])
end
for _, pending in ipairs(page) do
  local id, deliveries = pending[1], pending[4]
  if redis.call('ZSCORE', KEYS[2], id) then
    scheduled = scheduled + 1
  elseif not redis.call('XRANGE', KEYS[1], id, id)[1] then
    lost[#lost + 1] = pending
  elseif pending[2] ~= ARGV[2] then
    if ARGV[7] == '1' and deliveries == 1 then deliveries = 0 end
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'TIME', 0, 'RETRYCOUNT', deliveries, 'JUSTID')
    given[#given + 1] = pending
  end
end
local go_on = #page == tonumber(ARGV[5]) and '(' .. page[#page][1] or ''
return {given, lost, scheduled, go_on}
