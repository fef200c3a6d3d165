-- Moves a reindex on, if it is where the caller thinks it is: of two that want to, one does.
--
-- KEYS[1] state   KEYS[2] news
-- ARGV[1] id and ARGV[2] phase that are expected (empty: there is none)   ARGV[3] id, ARGV[4] phase and ARGV[5] JSON
-- of the new state
-- Returns 1, or 0 when it was elsewhere.
local id = redis.call('HGET', KEYS[1], 'id') or ''
local phase = redis.call('HGET', KEYS[1], 'phase') or ''
if id ~= ARGV[1] or phase ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'id', ARGV[3], 'phase', ARGV[4], 'state', ARGV[5])
redis.call('XADD', KEYS[2], 'MAXLEN', '1', '*', 'phase', ARGV[4])
return 1
