-- Add messages to a bounded stream; refuse what does not fit, never trim what is not processed.
-- KEYS[1] stream
-- ARGV[1] most unprocessed entries the stream may hold; of entries at all, twice as many
-- ARGV[2...] envelopes
-- Returns the entry ids of those added, in order: the first n of the envelopes given. Where the memory is full and
-- nothing of this stream can go to make room: the server's error, OOM, and none was added.
local stream = KEYS[1]
local wanted = #ARGV - 1
local room = room_in(stream, tonumber(ARGV[1]), wanted)
local ids = {}

-- Trim what is processed, the oldest first, until there is memory. The server is asked, for after its first write a
-- script is no longer held to the limit.
local function free_memory()
  local oldest = redis.call('XLEN', stream) > 0 and oldest_unprocessed(stream)
  while oldest do
    local removed = redis.call('XTRIM', stream, 'MINID', '~', oldest, 'LIMIT', 1000)
    if removed == 0 then removed = redis.call('XTRIM', stream, 'MINID', oldest) end
    if removed == 0 then break end
    local memory = redis.call('INFO', 'memory')
    local used, limit = string.match(memory, '\nused_memory:(%d+)'), string.match(memory, '\nmaxmemory:(%d+)')
    if tonumber(used) < tonumber(limit) then return true end
  end
  return false
end

for i = 2, math.min(wanted, room) + 1 do
  local id = redis.pcall('XADD', stream, '*', 'message', ARGV[i])
  if type(id) == 'table' and string.find(id.err, '^OOM') and free_memory() then
    id = redis.pcall('XADD', stream, '*', 'message', ARGV[i])
  end
  if type(id) == 'table' and id.err then return id end
  ids[#ids + 1] = id
end
return ids
