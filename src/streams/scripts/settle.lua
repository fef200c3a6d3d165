-- Acknowledges entries and removes the dead letters of rows that are indexed now.
--
-- KEYS[1] lane   KEYS[2] dead letters
-- ARGV[1] group   ARGV[2] number of entry ids, then these ids; then the keys of the rows that are indexed
-- Returns the number of entries acknowledged.
local entries = tonumber(ARGV[2])
local acknowledged = 0
-- Lua cannot unpack more than some thousand values at once.
local step = 1000
for i = 3, entries + 2, step do
  local last = math.min(i + step - 1, entries + 2)
  acknowledged = acknowledged + redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, i, last))
end
if #ARGV > entries + 2 and redis.call('EXISTS', KEYS[2]) == 1 then
  for i = entries + 3, #ARGV, step do
    redis.call('HDEL', KEYS[2], unpack(ARGV, i, math.min(i + step - 1, #ARGV)))
  end
end
return acknowledged
