-- Ids of entries that are in the stream; bodies stay on the server. Changes nothing.
-- KEYS[1] stream
-- ARGV[1] after this id  ARGV[2] up to this id  ARGV[3] most ids
local ids = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], ARGV[2], 'COUNT', ARGV[3])) do
  ids[#ids + 1] = entry[1]
end
return ids
