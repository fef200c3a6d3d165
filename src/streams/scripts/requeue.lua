-- Moves delay entries to a lane, one entry per message. Reading, adding and deleting are one step, so any number
-- of Delayers may run at once and none can die between them.
--
-- KEYS[1] delay stream   KEYS[2] lane (main or bulk)
-- ARGV[1] 'due' or 'ids'
--   due: ARGV[2] age in ms by Redis' clock, ARGV[3] stop after so many messages
--   ids: ARGV[2..] the entries to move, however young
-- Returns { messages moved, entries moved }.

-- Also in a Redis that is full, see ticket.lua: it holds the messages already.
redis.call('PERSIST', KEYS[1])

local messages = 0
local moved = 0

local function move(entry)
  local fields = entry[2]
  local first = 1
  for i = 3, #fields + 2, 2 do
    if fields[i] == 'id' or i > #fields then
      redis.call('XADD', KEYS[2], '*', unpack(fields, first, i - 1))
      messages = messages + 1
      first = i
    end
  end
  redis.call('XDEL', KEYS[1], entry[1])
  moved = moved + 1
end

if ARGV[1] == 'ids' then
  for i = 2, #ARGV do
    local found = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])
    if found[1] then
      move(found[1])
    end
  end
  return { messages, moved }
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local newest = now - tonumber(ARGV[2])
if newest < 0 then
  return { 0, 0 }
end
-- An end without a sequence takes in every entry of that millisecond.
newest = string.format('%.0f', newest)
local limit = tonumber(ARGV[3])
while messages < limit do
  -- A few at a time: an entry may hold hundreds of messages, and what is read beyond the limit is read in vain.
  local entries = redis.call('XRANGE', KEYS[1], '-', newest, 'COUNT', 10)
  if #entries == 0 then
    break
  end
  for _, entry in ipairs(entries) do
    if messages >= limit then
      break
    end
    move(entry)
  end
end
return { messages, moved }
