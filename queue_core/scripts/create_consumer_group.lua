-- Create a consumer group at the stream's beginning, and the stream if need be. Also where the memory is full: the
-- group takes some hundred bytes, and without it nobody could drain what fills the memory.
-- KEYS[1] stream
-- ARGV[1] group
-- Returns 1 if it was created, 0 if it was there.
local answer = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if not answer.err then return 1 end
if string.find(answer.err, 'BUSYGROUP', 1, true) then return 0 end
return answer
