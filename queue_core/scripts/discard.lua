-- Remove one dead letter.
-- KEYS[1] dead letter stream  KEYS[2] its counts
-- ARGV[1] letter id  ARGV[2] channel name
-- Returns 1; 0 where somebody else was faster.
local counted = tonumber(redis.call('HGET', KEYS[2], ARGV[2]) or 0)
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
if counted > 0 then redis.call('HINCRBY', KEYS[2], ARGV[2], -1) end
redis.call('HINCRBY', KEYS[2], ARGV[2] .. ':moved', 1)
return 1
