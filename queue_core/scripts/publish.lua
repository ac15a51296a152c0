-- Add messages to a bounded stream; refuse what does not fit, never trim what is not processed.
-- KEYS[1] stream
-- ARGV[1] most unprocessed entries the stream may hold; of entries at all, twice as many
-- ARGV[2...] envelopes
-- Returns the entry ids of those added, in order: the first n of the envelopes given.
local wanted = #ARGV - 1
local room = room_in(KEYS[1], tonumber(ARGV[1]), wanted)
local ids = {}
for i = 2, math.min(wanted, room) + 1 do
  ids[#ids + 1] = redis.call('XADD', KEYS[1], '*', 'message', ARGV[i])
end
return ids
