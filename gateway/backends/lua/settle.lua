-- Writes what came of a cancel, where core/idempotency.py's may_settle allows it. The order is free again, or is
-- remembered as gone; `refused` means that nothing was sent, so the key is free, too.
-- KEYS: record, leases, unknown, what is remembered (the record again where nothing is).
-- ARGV: time override, fence, state, outcome, body, at_ms, attempts, steps ('' for none), pause_ms until an unknown is
-- looked at, memory_ms, channel.
-- Answers 1, or 0 where the step is illegal, or the key of a pointer in another slot of a cluster that the caller has to
-- free.

local RECORD, LEASES, UNKNOWN, GONE = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local entry = read_record(RECORD)
local state = ARGV[3]
if not entry or not may_settle(entry, tonumber(ARGV[2]), state) then
  return 0
end
redis.call('HSET', RECORD, 'state', state, 'outcome', ARGV[4], 'body', ARGV[5], 'settled_ms', ARGV[6],
  'attempts', ARGV[7])
if ARGV[8] ~= '' then
  redis.call('HSET', RECORD, 'steps', ARGV[8])
end
local ulid = string.match(RECORD, '[^:]+$')
redis.call('ZREM', LEASES, ulid)
if state == 'unknown' then
  local server_ms = math.floor(server_clock(ARGV[1]) / 1000)
  redis.call('HSET', RECORD, 'lease_until_ms', text(server_ms))
  redis.call('ZADD', UNKNOWN, text(server_ms + tonumber(ARGV[9])), ulid)
elseif entry.state == 'unknown' then
  redis.call('ZREM', UNKNOWN, ulid)
end
if entry.order_key ~= GONE then
  release(entry.order_key, RECORD)
end
if GONE ~= RECORD then
  redis.call('SET', GONE, RECORD, 'PX', ARGV[10])
end
announce(entry, ARGV[11])
if state == 'refused' then
  release(entry.idempotency_key, RECORD)
  return entry.far_key or 1
end
return 1
