-- Appends entries to a trail and moves its head, all at once. What is there already is not written twice, so that a
-- call whose answer was lost can be repeated.
-- KEYS: stream, head. ARGV: ttl_ms, forced, cut (an id below which all may go, or ''), count; then id (its number stands
-- behind the dash), data and hash of each entry. Answers {'kept'}, or {'behind', seq} where entries before the first one are missing, unless forced.

local call = redis.call
local stream, head = KEYS[1], KEYS[2]

local function number(id)
  return tonumber(string.match(id, '-(%d+)$'))
end

local known = tonumber(call('HGET', head, 'seq') or '0')
local count = tonumber(ARGV[4])

if count > 0 and ARGV[2] ~= '1' and number(ARGV[5]) > known + 1 then
  return {'behind', known}
end

local last
for place = 5, 2 + 3 * count, 3 do
  if number(ARGV[place]) > known then
    call('XADD', stream, ARGV[place], 'e', ARGV[place + 1], 'h', ARGV[place + 2])
    last = place
  end
end
if last then
  call('HSET', head, 'seq', number(ARGV[last]), 'hash', ARGV[last + 2])
end
if ARGV[3] ~= '' then
  call('XTRIM', stream, 'MINID', ARGV[3])
end
call('PEXPIRE', stream, ARGV[1])
call('PEXPIRE', head, ARGV[1])
return {'kept'}
