-- Remove a consumer from its group, only if nothing is pending on it: removing it would orphan that.
-- KEYS[1] stream
-- ARGV[1] group  ARGV[2] consumer
-- Returns 1 if it was removed, 0 if it still holds entries or is not there.
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
