-- Frees an idempotency key that still leads to this record. KEYS: the key's pointer. ARGV: the record's key.

local value = redis.pcall('GET', KEYS[1])
if type(value) == 'string' and string.sub(value, -#ARGV[1] - 1) == ' ' .. ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
