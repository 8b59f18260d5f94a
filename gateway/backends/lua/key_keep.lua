-- Makes an idempotency key lead to a record, where it still has the value that was seen, or none.
-- KEYS: the key's pointer. ARGV: the value that was seen, the new value, ttl_ms. Answers 1, or the value it has now.

local value = redis.pcall('GET', KEYS[1])
if type(value) ~= 'string' or value == ARGV[1] or value == ARGV[2] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return 1
end
return value
