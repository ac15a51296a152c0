-- Count a page of dead letters by channel; bodies stay on the server. Changes nothing.
-- KEYS[1] dead letter stream
-- ARGV[1] first id, '-' or '(' and an id  ARGV[2] most letters
-- Returns {last id or '', channel, count, channel, count, ...}; letters of no channel count as ''.
local counts, last = {}, ''
for _, letter in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])) do
  local channel = ''
  for i = 1, #letter[2], 2 do
    if letter[2][i] == 'channel' then channel = letter[2][i + 1] end
  end
  counts[channel], last = (counts[channel] or 0) + 1, letter[1]
end
local answer = {last}
for channel, count in pairs(counts) do
  answer[#answer + 1] = channel
  answer[#answer + 1] = count
end
return answer
