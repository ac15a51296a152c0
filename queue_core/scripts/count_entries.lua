-- Count entries of a part of a stream; only the number leaves the server. Changes nothing.
-- KEYS[1] stream
-- ARGV[1] after this id  ARGV[2] up to this id  ARGV[3] about how far to count
-- Returns {counted, id of the last one counted, 1 if more may follow}; false where the stream now begins
-- after ARGV[1], so that what was to be counted may be trimmed already.
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if not first or before(ARGV[1], first[1]) then return false end
local counted, after = 0, ARGV[1]
while counted < tonumber(ARGV[3]) do
  local page = redis.call('XRANGE', KEYS[1], '(' .. after, ARGV[2], 'COUNT', 100)
  counted = counted + #page
  if #page > 0 then after = page[#page][1] end
  if #page < 100 then return {counted, after, 0} end
end
return {counted, after, 1}
