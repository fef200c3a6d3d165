-- Notes that a worker lives, by Redis' clock; now and then forgets those that have been silent for a long time.
--
-- KEYS[1] workers
-- ARGV[1] member   ARGV[2] kind   ARGV[3] host   ARGV[4] pid   ARGV[5] forget after so many ms (0: forget none)
-- ARGV[6] ms since its last progress
-- Returns Redis' time in ms.

-- Also in a Redis that is full, see ticket.lua.
redis.call('PERSIST', KEYS[1])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local beat = {
  kind = ARGV[2],
  host = ARGV[3],
  pid = tonumber(ARGV[4]),
  at = now,
  progressAt = now - tonumber(ARGV[6]),
}
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(beat))

local forget = tonumber(ARGV[5])
if forget == 0 then
  return now
end
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if cjson.decode(all[i + 1]).at < now - forget then
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return now
