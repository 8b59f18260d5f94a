-- Claims a cancel, and takes its slot where one is free, in one round trip.
-- KEYS: record, order pointer, idempotency pointer (the order pointer again without a key), then the demands.
-- ARGV: time override, patience_us, ahead, fingerprint ('' without a key), trust ('0' after a record that nobody
-- could read), at_ms, lease_ms, ttl_ms, number of field arguments, the fields, then the demands.
-- Answers {'fresh', fence, sent, wait_us, lost}, {'late', wait_us, lost}, {'known', record} or {'mismatch'}.
--
-- The idempotency pointer has a hash tag of its own, since its key says nothing of the account. On a cluster it
-- must be looked up in a step before this script and written in one after it; nothing else here would change.

local RECORD, ORDER, KEY = KEYS[1], KEYS[2], KEYS[3]
local server = server_clock(ARGV[1])
local server_ms = math.floor(server / 1000)
local patience, ahead = tonumber(ARGV[2]), tonumber(ARGV[3])
local fingerprint, trusted = ARGV[4], ARGV[5] == '1'
local at_ms, lease_ms, ttl_ms = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local fields_end = 9 + tonumber(ARGV[9])

local fence = 1
local abandoned = {}

-- Whether the record still has somebody who answers for it; if not, and nothing was sent, it is ours to take over.
local function answered_for(key, entry)
  if entry.lease > server_ms then
    return true
  end
  if nothing_sent(entry) then
    abandoned[key] = entry
  end
  fence = math.max(fence, entry.fence + 1)
  return false
end

if trusted and fingerprint ~= '' then
  local known, key = string.match(pointer(KEY) or '', '^(%x+) (.+)$')
  if known and known ~= fingerprint then
    return { 'mismatch' }
  end
  local entry, flat = read_record(key or '')
  if entry and (not nothing_sent(entry) or answered_for(key, entry)) then
    return { 'known', flat }
  end
end

if trusted then
  local key = pointer(ORDER) or ''
  local entry, flat = read_record(key)
  if entry and (nothing_sent(entry) or entry.state == 'sent') and answered_for(key, entry) then
    return { 'known', flat }
  end
end

local demands = demands_from(4, fields_end + 1)
local wait, sent, lost = 0, 0, {}
if #demands > 0 then
  local epochs = look(demands, server)
  lost = arm(demands, epochs, server)
  wait = wait_of(demands, ahead)
  if wait > math.min(patience, HORIZON_US) then
    return { 'late', wait, lost }
  end
  if wait == 0 then
    spend(demands, epochs, server, 0)
    sent = 1
  end
end

-- Its owner may still be alive and slow: from a final state it can't begin to send any more.
for key, entry in pairs(abandoned) do
  redis.call('HSET', key, 'state', 'refused', 'settled_ms', at_ms)
  release(entry.idempotency_key, key)
end

redis.call('DEL', RECORD)
redis.call('HSET', RECORD, 'state', sent == 1 and 'sent' or 'received', 'fence', fence, 'created_ms', at_ms,
  'lease_until_ms', text(server_ms + lease_ms), 'order_key', ORDER, unpack(ARGV, 10, fields_end))
if sent == 1 then
  redis.call('HSET', RECORD, 'sent_ms', at_ms)
end
redis.call('PEXPIRE', RECORD, ttl_ms)
redis.call('SET', ORDER, RECORD, 'PX', lease_ms)
if fingerprint ~= '' then
  redis.call('HSET', RECORD, 'idempotency_key', KEY)
  redis.call('SET', KEY, fingerprint .. ' ' .. RECORD, 'PX', ttl_ms)
end
return { 'fresh', fence, sent, wait, lost }
