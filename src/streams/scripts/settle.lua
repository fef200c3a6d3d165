-- Acknowledges entries and removes the dead letters of rows that are indexed now. Only those of older tickets: what
-- a later reader of a row found wrong is not mended by an earlier state of it.
--
-- KEYS[1] lane   KEYS[2] dead letters
-- ARGV[1] group   ARGV[2] number of entry ids, then these ids; then any number of times: a ticket, the number of
-- rows that were indexed with it, the keys of these rows
-- Returns the number of entries acknowledged.
local entries = tonumber(ARGV[2])
local acknowledged = 0
-- Lua cannot unpack more than some thousand values at once.
local step = 1000
for i = 3, entries + 2, step do
  local last = math.min(i + step - 1, entries + 2)
  acknowledged = acknowledged + redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, i, last))
end
if redis.call('EXISTS', KEYS[2]) == 0 then
  return acknowledged
end
local at = entries + 3
while at < #ARGV do
  local ticket, last = tonumber(ARGV[at]), at + 1 + tonumber(ARGV[at + 1])
  for i = at + 2, last do
    local known = redis.call('HGET', KEYS[2], ARGV[i])
    if known and tonumber(cjson.decode(known).ticket or 0) < ticket then
      redis.call('HDEL', KEYS[2], ARGV[i])
    end
  end
  at = last + 1
end
return acknowledged
