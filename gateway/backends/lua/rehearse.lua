-- Every command that the other scripts use, on a key that nobody reads: fails with whatever would refuse them.
-- The first write must be one that needs memory: once a script has written, Redis lets it write on, memory or not.

local key, call = KEYS[1], redis.call
call('TIME')
call('SET', key, '1', 'PX', 1000)
call('GET', key)
call('MGET', key)
call('PEXPIRE', key, 1000)
call('PTTL', key)
call('DEL', key)
call('HSET', key, 'a', '1')
call('HMGET', key, 'a')
call('HGETALL', key)
call('HDEL', key, 'a')
call('EXISTS', key)
call('DEL', key)
call('ZADD', key, '1', 'a')
call('ZCARD', key)
call('ZRANGEBYSCORE', key, '-inf', '1', 'LIMIT', 0, 1)
call('ZREM', key, 'a')
call('DEL', key)
return 1
