-- Takes, keeps or gives back the right to drive a reindex. It expires, so that a dead driver has no successor for
-- longer than that.
--
-- KEYS[1] driver
-- ARGV[1] member   ARGV[2] the driver as JSON, with its member   ARGV[3] ms until it expires (0: give it back)
-- Returns an empty text, or the driver who has it.
local known = redis.call('GET', KEYS[1])
if known and cjson.decode(known).member ~= ARGV[1] then
  return known
end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return ''
