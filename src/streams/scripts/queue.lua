-- Adds messages to a lane, except those of rows that wait there already because of an earlier call: whoever reads
-- that entry reads the row as it is then. An entry waits as long as no group has read past it, and the entry itself is
-- looked for, so that a stream that was cut by hand is no reason to leave a row out.
--
-- KEYS[1] lane   KEYS[2] hash: row key -> its entry
-- ARGV[1] group that does not need these messages   ARGV[2] most rows to remember   ARGV[3] for how long, in ms
-- Then per message: number of fields and values, then these, of which the second is the row key.
-- Returns the number of messages added.
local function isAfter(a, b)
  local aMs, aSequence = string.match(a, '^(%d+)-(%d+)$')
  local bMs, bSequence = string.match(b, '^(%d+)-(%d+)$')
  if aMs ~= bMs then
    return tonumber(aMs) > tonumber(bMs)
  end
  return tonumber(aSequence) > tonumber(bSequence)
end

local read = '0-0'
if redis.call('EXISTS', KEYS[1]) == 1 then
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local info = {}
    for i = 1, #group, 2 do
      info[group[i]] = group[i + 1]
    end
    if info.name ~= ARGV[1] and isAfter(info['last-delivered-id'], read) then
      read = info['last-delivered-id']
    end
  end
end

local function waits(id)
  local entry = redis.call('HGET', KEYS[2], id)
  return entry and isAfter(entry, read) and #redis.call('XRANGE', KEYS[1], entry, entry) > 0
end

local added = 0
local position = 4
while position <= #ARGV do
  local count = tonumber(ARGV[position])
  local id = ARGV[position + 2]
  if not waits(id) then
    local entry = redis.call('XADD', KEYS[1], '*', unpack(ARGV, position + 1, position + count))
    redis.call('HSET', KEYS[2], id, entry)
    added = added + 1
  end
  position = position + 1 + count
end

-- Forgetting costs no more than a message that is needless.
if redis.call('HLEN', KEYS[2]) > tonumber(ARGV[2]) then
  redis.call('DEL', KEYS[2])
else
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return added
