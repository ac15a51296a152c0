-- What a stream says of itself at one instant, for the books; changes nothing.
-- KEYS[1] stream  KEYS[2] dead letter stream  KEYS[3] its counts
-- ARGV[1] group  ARGV[2] an id: entries added since an earlier look are after it  ARGV[3] how far to count here
-- ARGV[4] channel name
-- Returns {group exists, entries ever added, first entry id or '', newest id ever given, last id delivered,
--          ms since 1970, ids of all pending entries, {waiting up to ARGV[2], the last of them},
--          {waiting after ARGV[2], the last of them}, letters}; who counts to ARGV[3] goes on with count_entries.
-- letters: {counted for the channel, ever moved on, 1 if it has a count at all, newest letter id ever given,
--           letters of all channels, counted of all channels}.
local stream, group, seen, limit = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now_ms = time[1] .. string.format('%03d', math.floor(tonumber(time[2]) / 1000))

local function letters()
  local counted, moved, has_count, newest, total = 0, 0, 0, '0-0', 0
  local fields = redis.call('HGETALL', KEYS[3])
  for i = 1, #fields, 2 do
    local name, number = fields[i], tonumber(fields[i + 1])
    if name == ARGV[4] or name == ARGV[4] .. ':moved' then has_count = 1 end
    if name == ARGV[4] then counted = number end
    if name == ARGV[4] .. ':moved' then moved = number end
    if string.sub(name, -6) ~= ':moved' then total = total + number end
  end
  if redis.call('EXISTS', KEYS[2]) == 1 then
    local info = redis.call('XINFO', 'STREAM', KEYS[2])
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then newest = info[i + 1] end
    end
  end
  return {counted, moved, has_count, newest, redis.call('XLEN', KEYS[2]), total}
end

if redis.call('EXISTS', stream) == 0 then
  return {0, 0, '', '0-0', '0-0', now_ms, {}, {0, seen}, {0, seen}, letters()}
end

-- Counted a hundred at a time: a page holds the bodies, and one may have a megabyte.
local function count(after, last)
  local counted = 0
  while counted < limit do
    local page = redis.call('XRANGE', stream, '(' .. after, last, 'COUNT', 100)
    counted = counted + #page
    if #page > 0 then after = page[#page][1] end
    if #page < 100 then break end
  end
  return {counted, after}
end

local added, newest, delivered, exists = 0, '0-0', '0-0', 0
local info = redis.call('XINFO', 'STREAM', stream)
for i = 1, #info, 2 do
  if info[i] == 'entries-added' then added = info[i + 1] end
  if info[i] == 'last-generated-id' then newest = info[i + 1] end
end
for _, found in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local fields = {}
  for i = 1, #found, 2 do fields[found[i]] = found[i + 1] end
  if fields['name'] == group then exists, delivered = 1, fields['last-delivered-id'] end
end
local pending = {}
local after = '-'
while exists == 1 do
  local page = redis.call('XPENDING', stream, group, after, '+', 1000)
  for _, entry in ipairs(page) do pending[#pending + 1] = entry[1] end
  if #page < 1000 then break end
  after = '(' .. pending[#pending]
end
local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
local older_end, newer_start = seen, seen
if before(newest, seen) then older_end = newest end
if before(seen, delivered) then newer_start = delivered end
return {exists, added, first and first[1] or '', newest, delivered, now_ms, pending,
        count(delivered, older_end), count(newer_start, newest), letters()}
