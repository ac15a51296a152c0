-- How many dead letters there are, and how many there ever were; XINFO alone would send two of them along.
-- KEYS[1] dead letter stream
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, 0} end
local info, added = redis.call('XINFO', 'STREAM', KEYS[1]), 0
for i = 1, #info, 2 do
  if info[i] == 'entries-added' then added = info[i + 1] end
end
return {redis.call('XLEN', KEYS[1]), added}
