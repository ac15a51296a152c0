-- Remove a consumer from its group, only if nothing is pending on it: removing it would orphan that.
-- KEYS[1] stream
-- ARGV[1] group  ARGV[2] consumer
-- Returns 1 if nothing of it is left in the group, 0 if it still holds entries and so stays.
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
