-- Every trail that is registered, and until when it is kept. KEYS: registry.

return redis.call('HGETALL', KEYS[1])
