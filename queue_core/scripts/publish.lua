-- Add messages to a bounded stream; refuse what does not fit, never trim what is not processed.
-- KEYS[1] stream
-- ARGV[1] most entries the stream may hold
-- ARGV[2...] envelopes
-- Returns the entry ids of those added, in order: the first n of the envelopes given.
local stream, limit = KEYS[1], tonumber(ARGV[1])
local wanted = #ARGV - 1
local length = redis.call('XLEN', stream)
if length + wanted > limit and length > 0 then
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
end
local ids = {}
for i = 2, #ARGV do
  if length >= limit then break end
  ids[#ids + 1] = redis.call('XADD', stream, '*', 'message', ARGV[i])
  length = length + 1
end
return ids
