-- Adds messages to a lane and deletes the delay entries that this makes needless, in one step: a delay entry is
-- gone only when what it stood for is in the lane.
--
-- KEYS[1] lane (main or bulk)   KEYS[2] delay stream
-- ARGV[1] number of delay ids, then these ids; then per message: number of fields and values, then these
-- Returns the number of messages added.
local position = 2
local ids = tonumber(ARGV[1])
local delayed = {}
for i = 1, ids do
  delayed[i] = ARGV[position]
  position = position + 1
end

local added = 0
while position <= #ARGV do
  local count = tonumber(ARGV[position])
  local fields = {}
  for i = 1, count do
    fields[i] = ARGV[position + i]
  end
  redis.call('XADD', KEYS[1], '*', unpack(fields))
  added = added + 1
  position = position + 1 + count
end

for i = 1, ids do
  redis.call('XDEL', KEYS[2], delayed[i])
end
return added
