-- Replaces a field of a hash, if it still is what it was thought to be.
--
-- KEYS[1] hash
-- ARGV[1] field   ARGV[2] its value ('': it is not there)   ARGV[3] its next value ('': it is removed)
-- Returns 1 when it is replaced, 0 when it is something else.
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then
  return 0
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
