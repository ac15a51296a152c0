-- Add messages to a bounded stream; refuse what does not fit, never trim what is not processed.
-- KEYS[1] stream
-- ARGV[1] most unprocessed entries the stream may hold; of entries at all, twice as many
-- ARGV[2...] envelopes
-- Returns the entry ids of those added, in order: the first n of the envelopes given.

-- Waiting and pending entries of the group that has most of them; all entries where the server lost count.
local function unprocessed(stream, length)
  local groups, most = redis.call('XINFO', 'GROUPS', stream), 0
  if #groups == 0 then return length end
  for _, group in ipairs(groups) do
    local fields = {}
    for i = 1, #group, 2 do fields[group[i]] = group[i + 1] end
    if not fields['lag'] then return length end
    most = math.max(most, fields['lag'] + fields['pending'])
  end
  return math.min(most, length)
end

local stream, limit = KEYS[1], tonumber(ARGV[1])
local wanted = #ARGV - 1
local length = redis.call('XLEN', stream)
local room = limit - length
if wanted > room and length > 0 then
  local oldest = oldest_unprocessed(stream)
  if oldest then
    -- Whole nodes first, which is cheap and keeps recent entries for tracing; exactly only when that frees too little.
    redis.call('XTRIM', stream, 'MINID', '~', oldest, 'LIMIT', 1000 + wanted)
    length = redis.call('XLEN', stream)
    if length + wanted > limit then
      redis.call('XTRIM', stream, 'MINID', oldest)
      length = redis.call('XLEN', stream)
    end
  end
  room = limit - length
  if wanted > room then room = math.min(limit - unprocessed(stream, length), 2 * limit - length) end
end
local ids = {}
for i = 2, math.min(wanted, room) + 1 do
  ids[#ids + 1] = redis.call('XADD', stream, '*', 'message', ARGV[i])
end
return ids
