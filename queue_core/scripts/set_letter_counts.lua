-- Replace the counts of the dead letters, if no letter came or went while they were counted.
-- How many were ever moved on cannot be counted anew: those fields stay.
-- KEYS[1] dead letter stream  KEYS[2] its counts
-- ARGV[1] letters there were  ARGV[2] letters ever added  ARGV[3...] channel and count, in turn
-- Returns 1 if they were replaced.
local added = 0
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'entries-added' then added = info[i + 1] end
  end
end
if redis.call('XLEN', KEYS[1]) ~= tonumber(ARGV[1]) or added ~= tonumber(ARGV[2]) then return 0 end
for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
  if string.sub(name, -6) ~= ':moved' then redis.call('HSET', KEYS[2], name, 0) end
end
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return 1
