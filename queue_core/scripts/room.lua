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

