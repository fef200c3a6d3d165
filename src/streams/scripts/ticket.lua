-- Takes a ticket, the version of the documents that will be read after it, together with the indices that they go
-- to at this moment. Greater than every ticket before it, and never behind the clock: a counter that was lost with
-- Redis' data, or is older on the replica that took over, still goes on above the versions in the index.
--
-- KEYS[1] last ticket   KEYS[2] targets
-- ARGV[1] a version that the ticket must be above (0: none)
-- Returns { ticket as text, target, ... }. Microseconds since 1970 fit a double exactly until the year 2255.

-- A Redis that is full refuses what may need memory, unless the script has written before: without tickets nobody
-- could empty it again. PERSIST is such a write, and changes nothing: the key never expires.
redis.call('PERSIST', KEYS[1])

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local ticket = math.max(last + 1, now, tonumber(ARGV[1]) + 1)
local text = string.format('%.0f', ticket)
redis.call('SET', KEYS[1], text)

local reply = redis.call('SMEMBERS', KEYS[2])
table.insert(reply, 1, text)
return reply
