-- Notes when a consumer group was last served, by Redis' clock; an earlier time than the known one changes nothing.
--
-- KEYS[1] groups
-- ARGV[1] group   ARGV[2] so many ms ago

-- Also in a Redis that is full, see ticket.lua: a group that is served must not come to look abandoned.
redis.call('PERSIST', KEYS[1])

local time = redis.call('TIME')
local seen = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) - tonumber(ARGV[2])
local known = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
if seen > known then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', seen))
end
