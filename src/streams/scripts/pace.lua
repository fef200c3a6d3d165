-- Reserves time on a clock that all who copy share: so many rows a second, whoever copies them.
--
-- KEYS[1] pace
-- ARGV[1] microseconds that the rows take at the wanted rate
-- Returns the ms to wait before they may be read.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local start = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
local ends = start + tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', ends), 'PX', string.format('%.0f', (ends - now) / 1000 + 1))
return math.ceil((start - now) / 1000)
