-- Moves delay entries to a lane, one entry per message. Reading, adding and deleting are one step, so any number
-- of Delayers may run at once and none can die between them.
--
-- KEYS[1] delay stream   KEYS[2] lane (main or bulk)
-- ARGV[1] 'due' or 'ids'
--   due: ARGV[2] age in ms by Redis' clock, ARGV[3] stop after so many messages, ARGV[4] 'all', or 'unnamed' for those
--        that name no transaction, ARGV[5] the entry to begin after, or '' for the oldest
--   ids: ARGV[2..] the entries to move, however young
-- Returns { messages moved, entries moved, of 'due': the last entry that was looked at, or ARGV[5] }: there may be more
-- after it.

-- Also in a Redis that is full, see ticket.lua: it holds the messages already.
redis.call('PERSIST', KEYS[1])

-- Entries that are read in vain, in one call of 'due'.
local mostPassed = 50

local messages = 0
local moved = 0

local function names(entry)
  return entry[2][1] == 'transaction'
end

local function move(entry)
  local fields = entry[2]
  -- The transaction is said of the entry, not of its first message.
  local first = names(entry) and 3 or 1
  for i = first + 2, #fields + 2, 2 do
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
  return { messages, moved, '' }
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local newest = now - tonumber(ARGV[2])
local last = ARGV[5]
if newest < 0 then
  return { 0, 0, last }
end
-- An end without a sequence takes in every entry of that millisecond.
newest = string.format('%.0f', newest)
local limit = tonumber(ARGV[3])
local passed = 0
while messages < limit and passed < mostPassed do
  -- A few at a time: an entry may hold hundreds of messages, and what is read beyond the limit is read in vain.
  local start = last == '' and '-' or '(' .. last
  local entries = redis.call('XRANGE', KEYS[1], start, newest, 'COUNT', 10)
  if #entries == 0 then
    break
  end
  for _, entry in ipairs(entries) do
    if messages >= limit then
      break
    end
    if ARGV[4] == 'all' or not names(entry) then
      move(entry)
    else
      passed = passed + 1
    end
    last = entry[1]
  end
end
return { messages, moved, last }
