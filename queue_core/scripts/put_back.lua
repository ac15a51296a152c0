-- Make delivered entries pending again, so that the next reader gets them.
-- They go to a consumer that nobody runs, idle since 1970, as if never delivered.
-- KEYS[1] stream
-- ARGV[1] group  ARGV[2] consumer that holds what is put back  ARGV[3...] entry ids
-- Returns how many it put back: those that are in the stream, were delivered and are not pending.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local delivered = nil
for _, found in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local fields = {}
  for i = 1, #found, 2 do fields[found[i]] = found[i + 1] end
  if fields['name'] == ARGV[1] then delivered = fields['last-delivered-id'] end
end
if not delivered then return 0 end
local put_back = 0
for i = 3, #ARGV do
  local id = ARGV[i]
  if not before(delivered, id)
    and #redis.call('XRANGE', KEYS[1], id, id) == 1
    and #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1) == 0
  then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'TIME', 0, 'RETRYCOUNT', 0, 'FORCE', 'JUSTID')
    put_back = put_back + 1
  end
end
return put_back
