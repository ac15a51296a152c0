-- Who holds pending entries for too long that could be given back; changes nothing and reads no message.
-- KEYS[1] stream  KEYS[2] retry set
-- ARGV[1] group  ARGV[2] consumer that holds what was given back  ARGV[3] least idle time in ms
-- ARGV[4] id to begin at, as XPENDING takes it  ARGV[5] most entries to look at
-- Returns {id to go on at or '', consumer, entries, consumer, entries, ...}. Not counted: entries given back
-- already, those that wait for their retry, and those that were deleted, which only a drain can settle.
if redis.call('EXISTS', KEYS[1]) == 0 then return {''} end
local page = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], ARGV[4], '+', ARGV[5])
local counts = {}
for _, pending in ipairs(page) do
  local id, holder = pending[1], pending[2]
  if holder ~= ARGV[2] and not redis.call('ZSCORE', KEYS[2], id) and redis.call('XRANGE', KEYS[1], id, id)[1] then
    counts[holder] = (counts[holder] or 0) + 1
  end
end
local answer = {#page == tonumber(ARGV[5]) and '(' .. page[#page][1] or ''}
for holder, count in pairs(counts) do
  answer[#answer + 1] = holder
  answer[#answer + 1] = count
end
return answer
