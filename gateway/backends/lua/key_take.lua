-- Takes an idempotency key for a record that is about to be written in another slot, unless somebody has it.
-- KEYS: the key's pointer. ARGV: its new value ('fingerprint record'), ttl_ms.
-- Answers {'taken'}, or {'held', value, how long it has lain there in ms}.

if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return { 'taken' }
end
local value = redis.pcall('GET', KEYS[1])
if type(value) ~= 'string' then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return { 'taken' }
end
return { 'held', value, tonumber(ARGV[2]) - redis.call('PTTL', KEYS[1]) }
