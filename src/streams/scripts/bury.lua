-- Writes a dead letter, or counts one more attempt of an existing one. A new letter beyond the cap is refused, so
-- that nothing grows without bound and nothing is dropped in silence: its entry stays pending. One of an older ticket
-- than the letter that is there says nothing new, nor does one of the same: the first reply was lost.
--
-- KEYS[1] dead letters
-- ARGV[1] row key   ARGV[2] ticket that the row was read with   ARGV[3] type   ARGV[4] reason   ARGV[5] most letters
-- Returns the number of attempts so far; 0 when there was no room.

-- Also in a Redis that is full, see ticket.lua: the entry that is acknowledged for it takes more room.
redis.call('PERSIST', KEYS[1])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local letter = { attempts = 0, firstAt = now }
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then
  letter = cjson.decode(known)
  if tonumber(letter.ticket or 0) >= tonumber(ARGV[2]) then
    return letter.attempts
  end
elseif redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then
  return 0
end
letter.attempts = letter.attempts + 1
letter.lastAt = now
-- As text: cjson keeps 14 digits of a number.
letter.ticket = ARGV[2]
letter.type = ARGV[3]
letter.reason = ARGV[4]
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(letter))
return letter.attempts
