-- Writes a record down that was made, or settled, while the store was away: as news of the record that lies there, where
-- that is a legal step, or as it is where none does.
-- KEYS: record, order pointer, idempotency pointer (the order pointer again without a key), leases, unknown.
-- ARGV: time override, fingerprint ('' without a key), fence, state, outcome ('' for none), body, settled_ms, attempts,
-- lease_ms for what is under way, ttl_ms, channel, then the fields of the record. Answers 1, or 0 where it is no news.

local RECORD, ORDER, KEY, LEASES, UNKNOWN = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local state, ulid = ARGV[4], string.match(KEYS[1], '[^:]+$')
local server_ms = math.floor(server_clock(ARGV[1]) / 1000)
local entry = read_record(RECORD)
-- Who found no note, or took it that nothing was sent, is put right by whoever did the work.
local nobody_knew = entry and (UNNOTED[entry.state] or entry.state == 'refused') and state ~= 'refused'
if entry and not nobody_knew and not may_settle(entry, tonumber(ARGV[3]), state) then
  return 0
end
if nobody_knew then
  redis.call('HDEL', RECORD, 'outcome', 'settled_ms')
  redis.call('HSET', RECORD, unpack(ARGV, 12))
end
if not entry then
  redis.call('DEL', RECORD)
  redis.call('HSET', RECORD, 'fence', ARGV[3], 'order_key', ORDER, unpack(ARGV, 12))
  redis.call('PEXPIRE', RECORD, ARGV[10])
  if ARGV[2] ~= '' and state ~= 'refused'
    and redis.call('SET', KEY, ARGV[2] .. ' ' .. RECORD, 'NX', 'PX', ARGV[10]) then
    redis.call('HSET', RECORD, 'idempotency_key', KEY)
  end
end
redis.call('HSET', RECORD, 'state', state, 'body', ARGV[6], 'attempts', ARGV[8], 'lease_until_ms',
  text(server_ms + tonumber(ARGV[9])))
if ARGV[5] ~= '' then
  redis.call('HSET', RECORD, 'outcome', ARGV[5], 'settled_ms', ARGV[7])
end
if state == 'sent' then
  redis.call('ZADD', LEASES, text(server_ms + tonumber(ARGV[9])), ulid)
  return 1
end
redis.call('ZREM', LEASES, ulid)
redis.call(state == 'unknown' and 'ZADD' or 'ZREM', UNKNOWN, unpack(state == 'unknown' and { text(server_ms), ulid } or { ulid }))
release(ORDER, RECORD)
if state == 'refused' then
  release(entry and entry.idempotency_key, RECORD)
end
if entry then
  announce(entry, ARGV[11])
end
return 1
