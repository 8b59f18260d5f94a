-- Every command that the other scripts use, on a key that nobody reads: fails with whatever would refuse them.

local key, call = KEYS[1], redis.call
call('TIME')
call('DEL', key)
call('HSET', key, 'a', '1')
call('HMGET', key, 'a')
call('HGETALL', key)
call('DEL', key)
call('SET', key, '1', 'PX', 1000)
call('GET', key)
call('MGET', key)
call('PEXPIRE', key, 1000)
call('PTTL', key)
return 1
