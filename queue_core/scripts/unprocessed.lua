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
