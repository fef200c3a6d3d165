-- Tells the clock of the node that holds a key.
--
-- KEYS[1] any key
-- Returns { seconds, microseconds } as text, like TIME.
return redis.call('TIME')
