-- Adds messages to a lane and deletes the delay entries that this makes needless, in one step: a delay entry is
-- gone only when what it stood for is in the lane.
--
-- KEYS[1] lane (main or bulk)   KEYS[2] delay stream
-- ARGV[1] number of delay ids, then these ids; then per message: number of fields and values, then these
-- Returns the number of messages added.
local ids = tonumber(ARGV[1])
local position = ids + 2
local added = 0
while position <= #ARGV do
  local count = tonumber(ARGV[position])
  redis.call('XADD', KEYS[1], '*', unpack(ARGV, position + 1, position + count))
  added = added + 1
  position = position + 1 + count
end

-- Lua cannot unpack more than some thousand values at once.
local step = 1000
for i = 2, ids + 1, step do
  redis.call('XDEL', KEYS[2], unpack(ARGV, i, math.min(i + step - 1, ids + 1)))
end
return added
