-- Remove entries that are old and that every group has processed; one bounded step, also where the memory is full.
-- Publishers run it too, whose rights are few: they may not ask whether a key exists.
-- KEYS[1] stream
-- ARGV[1] id before which an entry is old  ARGV[2] about how many to remove at most
-- Returns {removed, 1 if nothing is left to remove}.
if redis.call('XLEN', KEYS[1]) == 0 then return {0, 1} end
local bound = oldest_unprocessed(KEYS[1])
if not bound then return {0, 1} end
if before(ARGV[1], bound) then bound = ARGV[1] end
local removed = redis.call('XTRIM', KEYS[1], 'MINID', '~', bound, 'LIMIT', ARGV[2])
if removed > 0 then return {removed, 0} end
-- No whole node is left: what remains is a part of one.
return {redis.call('XTRIM', KEYS[1], 'MINID', bound), 1}
