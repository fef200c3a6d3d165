-- Writes a dead letter, or counts one more attempt of an existing one.
--
-- KEYS[1] dead letters
-- ARGV[1] row key   ARGV[2] type   ARGV[3] reason
-- Returns the number of attempts so far.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local letter = { attempts = 0, firstAt = now }
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then
  letter = cjson.decode(known)
end
letter.attempts = letter.attempts + 1
letter.lastAt = now
letter.type = ARGV[2]
letter.reason = ARGV[3]
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(letter))
return letter.attempts
