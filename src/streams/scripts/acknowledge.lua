-- Acknowledges entries, unless there are dead letters: then `settle` has to look for those of the rows.
--
-- KEYS[1] lane   KEYS[2] dead letters
-- ARGV[1] group   ARGV[2] entry ids, with a space between them: one argument costs the client less than thousands
-- Returns the number of entries acknowledged; -1 when there are dead letters, and nothing is done.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return -1
end
local ids = {}
for id in string.gmatch(ARGV[2], '%S+') do
  ids[#ids + 1] = id
end
local acknowledged = 0
-- Lua cannot unpack more than some thousand values at once.
local step = 1000
for i = 1, #ids, step do
  acknowledged = acknowledged + redis.call('XACK', KEYS[1], ARGV[1], unpack(ids, i, math.min(i + step - 1, #ids)))
end
return acknowledged
