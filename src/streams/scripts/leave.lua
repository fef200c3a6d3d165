-- Removes a consumer from its group, unless it still holds entries: XGROUP DELCONSUMER would throw these away, and
-- a member that was paused may have read some since somebody last looked.
--
-- KEYS[1] lane
-- ARGV[1] group   ARGV[2] consumer
-- Returns 1 when it is gone, 0 when it holds entries.
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local info = {}
  for i = 1, #consumer, 2 do
    info[consumer[i]] = consumer[i + 1]
  end
  if info.name == ARGV[2] and info.pending > 0 then
    return 0
  end
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
