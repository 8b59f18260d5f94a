-- Writes what came of a cancel. The order is free again; `refused` means that nothing was sent, so the key is, too.
-- KEYS: record. ARGV: fence, state, outcome, body, at_ms, attempts. Answers 1, or 0 where the step is illegal,
-- or the key of a pointer in another slot of a cluster that the caller has to free.

local entry = read_record(KEYS[1])
local state = ARGV[2]
if not entry or entry.fence ~= tonumber(ARGV[1]) or not STEPS[entry.state][state] then
  return 0
end
redis.call('HSET', KEYS[1], 'state', state, 'outcome', ARGV[3], 'body', ARGV[4], 'settled_ms', ARGV[5],
  'attempts', ARGV[6])
release(entry.order_key, KEYS[1])
if state == 'refused' then
  release(entry.idempotency_key, KEYS[1])
  return entry.far_key or 1
end
return 1
