-- Put one dead letter back into its channel's stream: moved, or left as it is.
-- KEYS[1] dead letter stream  KEYS[2] its counts  KEYS[3] stream of its channel
-- ARGV[1] letter id  ARGV[2] channel name  ARGV[3] most unprocessed entries the stream may hold
-- ARGV[4] how often the message is redriven with this time  ARGV[5] a message in place of the letter's own (optional)
-- Returns the id of the new entry; 'gone' where somebody else was faster; 'full' where there is no room.
local letter = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not letter then return 'gone' end
-- Looked at first, since a script that fails half-way does not take back what it did.
local counted = tonumber(redis.call('HGET', KEYS[2], ARGV[2]) or 0)
if room_in(KEYS[3], tonumber(ARGV[3]), 1) < 1 then return 'full' end
local fields, entry = letter[2], {'message', ARGV[5], 'redrives', ARGV[4]}
for i = 1, #fields, 2 do
  local name = fields[i]
  if name == 'message' and not ARGV[5] then
    entry[2] = fields[i + 1]
  elseif string.sub(name, 1, 6) == 'field:' and name ~= 'field:redrives' then
    entry[#entry + 1] = string.sub(name, 7)
    entry[#entry + 1] = fields[i + 1]
  end
end
local added = redis.call('XADD', KEYS[3], '*', unpack(entry))
redis.call('XDEL', KEYS[1], ARGV[1])
if counted > 0 then redis.call('HINCRBY', KEYS[2], ARGV[2], -1) end
redis.call('HINCRBY', KEYS[2], ARGV[2] .. ':moved', 1)
return added
