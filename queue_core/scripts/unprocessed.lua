-- Shared by the scripts that need it: oldest_unprocessed(stream).
-- Returns the id before which every entry was processed by every group, or nil where nothing may go
-- (no group, or one that has not read yet). Looks at each group once; never at entries.
local function oldest_unprocessed(stream)
  local function parts(id)
    local ms, seq = string.match(id, '^(%d+)-(%d+)$')
    return ms, seq
  end
  local function number_before(a, b)
    if #a ~= #b then return #a < #b end
    return a < b
  end
  local function before(a, b)
    local a_ms, a_seq = parts(a)
    local b_ms, b_seq = parts(b)
    if a_ms ~= b_ms then return number_before(a_ms, b_ms) end
    return number_before(a_seq, b_seq)
  end
  local oldest = nil
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local fields = {}
    for i = 1, #group, 2 do fields[group[i]] = group[i + 1] end
    local bound = fields['last-delivered-id']
    if bound == '0-0' then return nil end
    if fields['pending'] > 0 then
      bound = redis.call('XPENDING', stream, fields['name'])[2]
    else
      local ms, seq = parts(bound)
      if #seq < 15 then bound = ms .. '-' .. string.format('%.0f', tonumber(seq) + 1) end
    end
    if oldest == nil or before(bound, oldest) then oldest = bound end
  end
  return oldest
end
