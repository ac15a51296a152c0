-- Remove from the retry set and from the attempts what belongs to entries that are no longer pending,
-- one bounded step through each; and from the buried ones those that cannot be delivered again.
-- KEYS[1] stream  KEYS[2] retry set  KEYS[3] processing hash  KEYS[4] entries moved to the dead letters
-- ARGV[1] group  ARGV[2] cursor of the retry set, or 'done'  ARGV[3] cursor of the hash, or 'done'
-- ARGV[4] about how many to look at
-- Returns {next cursor, next cursor, removed from the retry set, removed from the hash}.
local group_exists = 0
if redis.call('EXISTS', KEYS[1]) == 1 then
  for _, fields in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    for i = 1, #fields, 2 do
      if fields[i] == 'name' and fields[i + 1] == ARGV[1] then group_exists = 1 end
    end
  end
end

-- Of a buried one that is older than all of these nothing is left that could be delivered again. One that was
-- deleted while it was pending can: it is reported as lost.
local oldest_ms = math.huge
local function keep_from(id)
  if id then oldest_ms = math.min(oldest_ms, tonumber(string.match(id, '^%d+'))) end
end
keep_from((redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1] or {})[1])
if group_exists == 1 then keep_from(redis.call('XPENDING', KEYS[1], ARGV[1])[2]) end
local bound = oldest_ms == math.huge and '+inf' or '(' .. string.format('%.0f', oldest_ms)
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', bound)

-- A group that is gone is made again and its entries delivered again: their attempts are still wanted.
if group_exists == 0 and redis.call('XLEN', KEYS[1]) > 0 then return {'done', 'done', 0, 0} end

local function step(cursor, scan, remove, key)
  if cursor == 'done' then return 'done', 0 end
  local removed, page = 0, redis.call(scan, key, cursor, 'COUNT', ARGV[4])
  for i = 1, #page[2], 2 do
    local id = page[2][i]
    local pending = group_exists == 1 and redis.pcall('XPENDING', KEYS[1], ARGV[1], id, id, 1) or {}
    if pending.err or #pending == 0 then removed = removed + redis.call(remove, key, id) end
  end
  return page[1] == '0' and 'done' or page[1], removed
end

local retry, scheduled = step(ARGV[2], 'ZSCAN', 'ZREM', KEYS[2])
local attempts, noted = step(ARGV[3], 'HSCAN', 'HDEL', KEYS[3])
return {retry, attempts, scheduled, noted}
