-- Deliver new entries, bounded by number and by bytes: XREADGROUP by itself knows only numbers, and a few thousand of
-- the largest messages would be some gigabytes.
-- KEYS[1] stream
-- ARGV[1] group  ARGV[2] consumer  ARGV[3] most entries  ARGV[4] most bytes: the step that reaches this is the last
-- Returns the entries, as XRANGE gives them.
local step, entries, room = 50, {}, tonumber(ARGV[4])
while #entries < tonumber(ARGV[3]) and room > 0 do
  local count = math.min(step, ARGV[3] - #entries)
  local reply = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', count, 'STREAMS', KEYS[1], '>')
  if not reply then break end
  for _, entry in ipairs(reply[1][2]) do
    entries[#entries + 1] = entry
    for _, part in ipairs(entry[2]) do room = room - #part end
  end
  if #reply[1][2] < count then break end
end
return entries
