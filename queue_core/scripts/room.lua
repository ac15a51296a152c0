-- Shared by the scripts that add to a bounded stream: room_in(stream, limit, wanted).
-- Returns how many entries may be added; trims what is processed where there is no room for those wanted.
local function room_in(stream, limit, wanted)
  local length = redis.call('XLEN', stream)
  if length + wanted > limit and length > 0 then
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
  end
  return limit - length
end

