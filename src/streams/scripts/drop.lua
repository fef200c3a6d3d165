-- Drops a consumer group that nobody has served for a long time. Whether that is so is looked at again here, where
-- nothing comes in between: a member may have come back since the Trimmer looked.
--
-- KEYS[1] main lane   KEYS[2] bulk lane   KEYS[3] groups
-- ARGV[1] group   ARGV[2] ms for which nobody may have served it
-- Returns 1 when it was dropped, 0 when somebody has served it, or nobody knows when.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local age = tonumber(ARGV[2])

local function field(info, name)
  for i = 1, #info, 2 do
    if info[i] == name then
      return info[i + 1]
    end
  end
end

local seen = redis.call('HGET', KEYS[3], ARGV[1])
if not seen or now - tonumber(seen) < age then
  return 0
end
local found = {}
for lane = 1, 2 do
  local groups = redis.call('EXISTS', KEYS[lane]) == 1 and redis.call('XINFO', 'GROUPS', KEYS[lane]) or {}
  for _, group in ipairs(groups) do
    if field(group, 'name') == ARGV[1] then
      table.insert(found, KEYS[lane])
    end
  end
end
for _, lane in ipairs(found) do
  for _, member in ipairs(redis.call('XINFO', 'CONSUMERS', lane, ARGV[1])) do
    if field(member, 'idle') < age then
      return 0
    end
  end
end

for _, lane in ipairs(found) do
  redis.call('XGROUP', 'DESTROY', lane, ARGV[1])
end
redis.call('HDEL', KEYS[3], ARGV[1])
return 1
