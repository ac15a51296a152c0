-- What is known of one entry, at one instant; changes nothing.
-- KEYS[1] stream  KEYS[2] retry set  KEYS[3] processing hash
-- ARGV[1] group  ARGV[2] entry id
-- Returns {fields and values (nil: it is not there), ever delivered, {consumer, idle ms, deliveries} or nil where it is
-- not pending, next retry due in ms or nil, failed attempts or nil}; each nil as false.
local stream, id = KEYS[1], ARGV[2]
local entry, delivered, holder = false, 0, false
if redis.call('EXISTS', stream) == 1 then
  local found = redis.call('XRANGE', stream, id, id)[1]
  if found then entry = found[2] end
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local fields = {}
    for i = 1, #group, 2 do fields[group[i]] = group[i + 1] end
    if fields['name'] == ARGV[1] then
      if not before(fields['last-delivered-id'], id) then delivered = 1 end
      local pending = redis.call('XPENDING', stream, ARGV[1], id, id, 1)[1]
      if pending then holder = {pending[2], pending[3], pending[4]} end
    end
  end
end
return {entry, delivered, holder, redis.call('ZSCORE', KEYS[2], id), redis.call('HGET', KEYS[3], id)}
