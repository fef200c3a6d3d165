-- Finds delay entries that name a transaction, so that the database can be asked about it. Only their ids and names
-- leave Redis: an entry may hold hundreds of messages.
--
-- KEYS[1] delay stream
-- ARGV[1] age in ms by Redis' clock   ARGV[2] the entry to begin after, or '' for the oldest   ARGV[3] look at so many
-- Returns { Redis' clock in ms, the last entry that was looked at, 1 when there may be more, then entry and transaction
-- of each }.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local newest = string.format('%.0f', math.max(0, now - tonumber(ARGV[1])))
local last = ARGV[2]
local most = tonumber(ARGV[3])
local start = last == '' and '-' or '(' .. last
local entries = redis.call('XRANGE', KEYS[1], start, newest, 'COUNT', most)
local found = { now, last, #entries == most and 1 or 0 }
for _, entry in ipairs(entries) do
  found[2] = entry[1]
  if entry[2][1] == 'transaction' then
    table.insert(found, entry[1])
    table.insert(found, entry[2][2])
  end
end
return found
