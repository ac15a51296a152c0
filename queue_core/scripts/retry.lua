-- Schedule another attempt of an entry that failed; it stays pending, held by a consumer that nobody runs.
-- KEYS[1] stream  KEYS[2] retry set  KEYS[3] processing hash
-- ARGV[1] group  ARGV[2] consumer that failed  ARGV[3] consumer that holds it until it is due  ARGV[4] entry id
-- ARGV[5] the attempt, a JSON object  ARGV[6] most retries  ARGV[7] first delay in ms  ARGV[8] longest delay in ms
-- ARGV[9] factor of the delay: its jitter
-- Returns the delay in ms; -1 where the retries are used up (the attempt is kept, nothing is scheduled);
-- -2 where this consumer does not hold the entry.
local id = ARGV[4]
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])[1]
if not pending then return -2 end
local attempts = redis.call('HGET', KEYS[3], id)
attempts = failures_in(attempts) > 0 and string.sub(attempts, 1, -2) .. ',' .. ARGV[5] .. ']' or '[' .. ARGV[5] .. ']'
redis.call('HSET', KEYS[3], id, attempts)
local failures = failures_in(attempts)
if failures > tonumber(ARGV[6]) then return -1 end
local delay = math.min(tonumber(ARGV[8]), tonumber(ARGV[7]) * 2 ^ (failures - 1))
delay = math.floor(delay * tonumber(ARGV[9]))
local clock = redis.call('TIME')
redis.call('ZADD', KEYS[2], clock[1] * 1000 + math.floor(clock[2] / 1000) + delay, id)
-- Should the retry set be lost, the entry is taken over like any other that was left.
if redis.call('XRANGE', KEYS[1], id, id)[1] then
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, id, 'IDLE', 0, 'RETRYCOUNT', pending[4], 'JUSTID')
end
return delay
