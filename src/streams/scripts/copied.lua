-- Notes that a page of a slice is copied. Only who goes on from the cursor that is there may move it, so that rows
-- count once, however many take a slice for theirs.
--
-- KEYS[1] progress   KEYS[2] news
-- ARGV[1] id of the reindex   ARGV[2] slice   ARGV[3] cursor before (empty: none)   ARGV[4] cursor now
-- ARGV[5] 1 when this was the last page   ARGV[6] rows   ARGV[7] bytes
-- Returns 1, or 0 when the cursor was elsewhere.
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then
  return 0
end
local field = 'cursor:' .. ARGV[2]
if (redis.call('HGET', KEYS[1], field) or '') ~= ARGV[3] then
  return 0
end
redis.call('HSET', KEYS[1], field, ARGV[4])
redis.call('HINCRBY', KEYS[1], 'rows:' .. ARGV[2], ARGV[6])
redis.call('HINCRBY', KEYS[1], 'rows', ARGV[6])
redis.call('HINCRBY', KEYS[1], 'bytes', ARGV[7])
redis.call('HINCRBY', KEYS[1], 'done', ARGV[5])
redis.call('XADD', KEYS[2], 'MAXLEN', '1', '*', 'slice', ARGV[2])
return 1
