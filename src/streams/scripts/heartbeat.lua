-- Notes that a worker lives, by Redis' clock, and forgets those that have been silent for a long time.
--
-- KEYS[1] workers
-- ARGV[1] member   ARGV[2] kind   ARGV[3] host   ARGV[4] pid   ARGV[5] forget after so many ms
-- Returns Redis' time in ms.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local beat = { kind = ARGV[2], host = ARGV[3], pid = tonumber(ARGV[4]), at = now }
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(beat))

local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if cjson.decode(all[i + 1]).at < now - tonumber(ARGV[5]) then
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return now
