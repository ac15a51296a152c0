-- Take over entries that are to be tried again: retries that are due, then those whose consumer was not heard of.
-- KEYS[1] stream  KEYS[2] retry set  KEYS[3] processing hash
-- ARGV[1] group  ARGV[2] consumer  ARGV[3] least idle time in ms  ARGV[4] most entries
-- ARGV[5] most bytes: the entry that reaches this is the last
-- Returns {entries, deliveries, failures, lost}: entries as XRANGE gives them; of each its deliveries and its failed
-- attempts so far; and the ids that are pending but no longer in the stream: somebody deleted them unprocessed.
-- Those stay pending until they are acknowledged, so that a loss is recorded before it is forgotten.
-- Taking over is not counted as a delivery (begin.lua counts), except of entries that nobody has begun.
local stream, retries, group, consumer = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local most, room = tonumber(ARGV[4]), tonumber(ARGV[5])
local entries, deliveries, failures, lost = {}, {}, {}, {}

local function take(pending)
  local id, delivered = pending[1], math.max(1, pending[4])
  if not redis.call('XRANGE', stream, id, id)[1] then
    lost[#lost + 1] = id
    return
  end
  local claimed = redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', delivered)[1]
  for _, part in ipairs(claimed[2]) do room = room - #part end
  entries[#entries + 1] = claimed
  -- 0 is one that was given back and so is new; else as often as it was begun before.
  deliveries[#deliveries + 1] = pending[4]
  local attempts = redis.call('HGET', KEYS[3], id)
  failures[#failures + 1] = attempts and #cjson.decode(attempts) or 0
end

local function is_full() return #entries + #lost == most or room <= 0 end

local clock = redis.call('TIME')
local now_ms = clock[1] * 1000 + math.floor(clock[2] / 1000)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', retries, '-inf', now_ms, 'LIMIT', 0, most)) do
  local pending = redis.call('XPENDING', stream, group, id, id, 1)[1]
  if pending then take(pending) else redis.call('HDEL', KEYS[3], id) end
  redis.call('ZREM', retries, id)
  if is_full() then break end
end

-- What was begun alone, and left again, comes last: it may be what ends its processes.
local scheduled, start, suspects = redis.call('ZCARD', retries), '-', {}
while not is_full() do
  local page = redis.call('XPENDING', stream, group, 'IDLE', ARGV[3], start, '+', most)
  for _, pending in ipairs(page) do
    if is_full() then break end
    if scheduled == 0 or not redis.call('ZSCORE', retries, pending[1]) then
      if pending[4] > 1 then suspects[#suspects + 1] = pending else take(pending) end
    end
  end
  if #page < most then break end
  start = '(' .. page[#page][1]
end
for _, pending in ipairs(suspects) do
  if is_full() then break end
  take(pending)
end
return {entries, deliveries, failures, lost}
