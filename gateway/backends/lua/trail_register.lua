-- Notes until when a trail is kept, and forgets those whose time is long over.
-- KEYS: registry. ARGV: stream, until_ms, oldest (what was kept until before then is forgotten).

local call = redis.call
call('HSET', KEYS[1], ARGV[1], ARGV[2])
local listed = call('HGETALL', KEYS[1])
for place = 1, #listed, 2 do
  if tonumber(listed[place + 1]) < tonumber(ARGV[3]) then
    call('HDEL', KEYS[1], listed[place])
  end
end
return 1
