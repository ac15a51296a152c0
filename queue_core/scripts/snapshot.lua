-- Figures of one channel at one instant; changes nothing and reads no message.
-- KEYS[1] stream  KEYS[2] retry set  KEYS[3] dead letter stream  KEYS[4] its counts
-- ARGV[1] group  ARGV[2] channel name  ARGV[3] ms after which a pending entry may be taken over
-- ARGV[4] how far to count where the server does not know the lag
-- Returns {length, entries added, waiting, waiting is exact, pending, oldest pending id, next waiting id,
--          one may be taken over, retries scheduled, next retry due in ms, dead letters, group exists}.
-- Each command costs the same at 10 and at 1,000,000 waiting.
local stream, group = KEYS[1], ARGV[1]
local length, added, waiting, exact = 0, 0, 0, 1
local pending, oldest_pending, next_waiting, stale, exists = 0, '', '', 0, 0
if redis.call('EXISTS', stream) == 1 then
  length = redis.call('XLEN', stream)
  local info, head = redis.call('XINFO', 'STREAM', stream), nil
  for i = 1, #info, 2 do
    if info[i] == 'entries-added' then added = info[i + 1] end
    if info[i] == 'first-entry' then head = info[i + 1] end
  end
  local last = '-'
  waiting = length
  for _, fields in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local found = {}
    for i = 1, #fields, 2 do found[fields[i]] = fields[i + 1] end
    if found['name'] == group then
      exists, last = 1, '(' .. found['last-delivered-id']
      pending = found['pending']
      if found['lag'] then
        waiting = found['lag']
      else
        waiting = #redis.call('XRANGE', stream, last, '+', 'COUNT', ARGV[4])
        if waiting == tonumber(ARGV[4]) then exact = 0 end
      end
    end
  end
  local first = redis.call('XRANGE', stream, last, '+', 'COUNT', 1)[1]
  if first then next_waiting = first[1] else waiting = 0 end
  -- Nothing delivered is left: then all of it waits, whatever the lag makes of entries trimmed from outside.
  if first and first[1] == head[1] then waiting, exact = length, 1 end
  if pending > 0 then
    oldest_pending = redis.call('XPENDING', stream, group)[2]
    -- One more than are scheduled for a retry, which are nobody's to take over: then one of them is not.
    local scheduled = math.min(redis.call('ZCARD', KEYS[2]), 1000)
    for _, idle in ipairs(redis.call('XPENDING', stream, group, 'IDLE', ARGV[3], '-', '+', scheduled + 1)) do
      if stale == 0 and not redis.call('ZSCORE', KEYS[2], idle[1]) then stale = 1 end
    end
  end
end
local due = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2] or ''
local dead = 0
if redis.call('XLEN', KEYS[3]) > 0 then dead = tonumber(redis.call('HGET', KEYS[4], ARGV[2]) or 0) end
return {length, added, waiting, exact, pending, oldest_pending, next_waiting, stale, redis.call('ZCARD', KEYS[2]), due, dead, exists}
