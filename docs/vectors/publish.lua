-- Shared by the scripts that need them: before(id, id) and oldest_unprocessed(stream).

-- Whether one entry id comes before another. Compared as digits: Lua's numbers end at 2^53, ids at 2^64.
local function before(a, b)
  local function smaller(one, other)
    if #one ~= #other then return #one < #other end
    return one < other
  end
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  if a_ms ~= b_ms then return smaller(a_ms, b_ms) end
  return smaller(a_seq, b_seq)
end

-- The id before which every entry was processed by every group, or nil where nothing may go
-- (no group, or one that has not read yet). Looks at each group once; never at entries.
local function oldest_unprocessed(stream)
  local oldest = nil
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local fields = {}
    for i = 1, #group, 2 do fields[group[i]] = group[i + 1] end
    local bound = fields['last-delivered-id']
    if bound == '0-0' then return nil end
    if fields['pending'] > 0 then
      bound = redis.call('XPENDING', stream, fields['name'])[2]
    else
      local ms, seq = string.match(bound, '^(%d+)-(%d+)$')
      if #seq < 15 then bound = ms .. '-' .. string.format('%.0f', tonumber(seq) + 1) end
    end
    if oldest == nil or before(bound, oldest) then oldest = bound end
  end
  return oldest
end
-- Shared by the scripts that add to a bounded stream: room_in(stream, limit, wanted).
-- Returns how many entries may be added; trims what is processed where there is no room for those wanted.
local function room_in(stream, limit, wanted)
  -- Waiting and pending entries of the group that has most of them; all entries where the server lost count.
  local function unprocessed(length)
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

  local length = redis.call('XLEN', stream)
  if length + wanted <= limit or length == 0 then return limit - length end
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
  if length + wanted <= limit then return limit - length end
  return math.min(limit - unprocessed(length), 2 * limit - length)
end

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
