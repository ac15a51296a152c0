-- One page of a search for a text in the messages of a stream, newest first; the messages stay on the server. Changes
-- nothing.
-- KEYS[1] stream
-- ARGV[1] id to begin at: '+', or '(' and an id  ARGV[2] most entries  ARGV[3] bytes after which the page ends
-- ARGV[4] the text
-- Returns {entries looked at, id of the last one or '' where nothing is left, ids of those with the text}.
local looked, bytes, start, found = 0, 0, ARGV[1], {}
while looked < tonumber(ARGV[2]) and bytes < tonumber(ARGV[3]) do
  -- Few at a time: a message may have a megabyte.
  local most = math.min(20, ARGV[2] - looked)
  local page = redis.call('XREVRANGE', KEYS[1], start, '-', 'COUNT', most)
  for _, entry in ipairs(page) do
    for i = 1, #entry[2], 2 do
      local value = entry[2][i + 1]
      bytes = bytes + #value
      if entry[2][i] == 'message' and string.find(value, ARGV[4], 1, true) then
        found[#found + 1] = entry[1]
        break
      end
    end
    start = '(' .. entry[1]
  end
  looked = looked + #page
  if #page < most then return {looked, '', found} end
end
return {looked, string.sub(start, 2), found}
