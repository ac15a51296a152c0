-- Take over entries that are to be tried again: retries that are due, then those whose consumer was not heard of.
-- KEYS[1] stream  KEYS[2] retry set  KEYS[3] processing hash
-- ARGV[1] group  ARGV[2] consumer  ARGV[3] least idle time in ms  ARGV[4] most entries
-- ARGV[5] most bytes: the entry that reaches this is the last
-- Returns {new, left, lost, ms until the next retry is due or -1}:
-- new: entries, as XRANGE gives them, that were given back before anybody had begun them; their delivery is counted;
-- left: {id, deliveries} of those that somebody had begun. Neither counted nor with what is in them: whoever had them
--   may have died of it. begin.lua counts, then hands them out;
-- lost: ids that are pending but no longer in the stream: somebody deleted them unprocessed. They stay pending until
--   they are acknowledged, so that a loss is recorded before it is forgotten.
local stream, retries, group, consumer = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local most, room, page_size = tonumber(ARGV[4]), tonumber(ARGV[5]), 1000
local new, left, lost = {}, {}, {}

local function is_full() return #new + #left + #lost >= most or room <= 0 end

local function take(pending)
  local id, deliveries = pending[1], pending[4]
  if not redis.call('XRANGE', stream, id, id)[1] then
    lost[#lost + 1] = id
  elseif deliveries == 0 then
    local entry = redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', 1)[1]
    for _, part in ipairs(entry[2]) do room = room - #part end
    new[#new + 1] = entry
  else
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', deliveries, 'JUSTID')
    left[#left + 1] = {id, deliveries}
  end
end

local clock = redis.call('TIME')
local now_ms = clock[1] * 1000 + math.floor(clock[2] / 1000)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', retries, '-inf', now_ms, 'LIMIT', 0, most)) do
  if is_full() then break end
  local pending = redis.call('XPENDING', stream, group, id, id, 1)[1]
  if pending then take(pending) else redis.call('HDEL', KEYS[3], id) end
  redis.call('ZREM', retries, id)
end

-- What was begun alone, and left again, comes last: it may be what ends its processes.
local scheduled, start, suspects = redis.call('ZCARD', retries), '-', {}
while not is_full() do
  local page = redis.call('XPENDING', stream, group, 'IDLE', ARGV[3], start, '+', page_size)
  for _, pending in ipairs(page) do
    if is_full() then break end
    if scheduled == 0 or not redis.call('ZSCORE', retries, pending[1]) then
      if pending[4] > 1 then suspects[#suspects + 1] = pending else take(pending) end
    end
  end
  if #page < page_size then break end
  start = '(' .. page[#page][1]
end
for _, pending in ipairs(suspects) do
  if is_full() then break end
  take(pending)
end

local due = redis.call('ZRANGE', retries, 0, 0, 'WITHSCORES')[2]
return {new, left, lost, due and math.max(0, due - now_ms) or -1}
