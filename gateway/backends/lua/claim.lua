-- Claims a cancel, and takes its slot where one is free, in one round trip.
-- KEYS: record, order pointer, idempotency pointer (the order pointer again without a key), leases, then as in
-- admit.lua.
-- ARGV: patience_us, fingerprint ('' without a key), trust ('0' after a record that nobody could read), at_ms,
-- lease_ms, ttl_ms, what other slots said, number of field arguments, the fields, then as in admit.lua.
-- Answers {'fresh', fence, wait_us, times, lost}, with a slot followed by {probe, free, reset_us};
-- {'late', wait_us, times, lost}, {'gated', place, banned, wait_us}, {'known', record}, {'gone', record} or
-- {'mismatch'}.
--
-- The idempotency pointer has a hash tag of its own, since its key says nothing of the account; so have some gates and
-- limits. On a cluster they are asked in steps of their own (key_pointer.py, abroad.py). The third key is then the record
-- that the idempotency pointer led to, which lies here; the pointer's key is one of the fields; and what was said there
-- is 'none', 'gated place banned wait_us' or 'late wait_us' instead of ''.

local RECORD, ORDER, KEY, LEASES = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local patience, fingerprint, trusted = tonumber(ARGV[1]), ARGV[2], ARGV[3] == '1'
local at_ms, lease_ms, ttl_ms = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local elsewhere = ARGV[7]
local fields_end = 8 + tonumber(ARGV[8])
local asked = asked_for(5, fields_end + 1)
local server_ms = math.floor(asked.server / 1000)

local fence = 1
local abandoned = {}

-- Whether the record still has somebody who answers for it; if not, and there is no note that it was sent, this request
-- goes out in its place: a double cancel is harmless, a missing one is not.
local function answered_for(key, entry)
  if entry.lease > server_ms then
    return true
  end
  if UNNOTED[entry.state] then
    abandoned[key] = entry
  end
  fence = math.max(fence, entry.fence + 1)
  return false
end

-- Whoever gets this answer may wait for the record's end: settle.lua tells them of it.
local function to_follow(key, entry, flat)
  if OPEN[entry.state] and not entry.followed then
    redis.call('HSET', key, 'followed', '1')
  end
  return { 'known', flat }
end

-- A call that nobody waits for any more may come late: what was written meanwhile stays.
local own, written = read_record(RECORD)
if own then
  return { 'known', written }
end

if trusted and fingerprint ~= '' then
  local known, key = string.match(pointer(KEY) or '', '^(%x+) (.+)$')
  if known and known ~= fingerprint then
    return { 'mismatch' }
  end
  local entry, flat = read_record(key or '')
  if entry and (not UNNOTED[entry.state] or answered_for(key, entry)) then
    return to_follow(key, entry, flat)
  end
end

-- Where it was refused its key was to be freed in another step, which somebody did not live to take.
if trusted and elsewhere ~= '' and KEY ~= ORDER then
  local entry, flat = read_record(KEY)
  if entry and entry.state ~= 'refused' and (not UNNOTED[entry.state] or answered_for(KEY, entry)) then
    return to_follow(KEY, entry, flat)
  end
end

if trusted then
  local key = pointer(ORDER) or ''
  local entry, flat = read_record(key)
  if entry and (UNNOTED[entry.state] or entry.state == 'sent') and answered_for(key, entry) then
    return to_follow(key, entry, flat)
  end
  if entry and entry.state == 'terminal' then
    return { 'gone', flat }
  end
end

local far = string.match(elsewhere, '^late (%d+)$')
if far then
  return { 'late', tonumber(far), {}, {} }
end
local place, banned, left = string.match(elsewhere, '^gated (%d) ([01]) (%d+)$')
if place then
  return { 'gated', tonumber(place), tonumber(banned), tonumber(left) }
end

local gates = read_gates(asked.gates)
local refused = shut(gates, #asked.gates, asked.server, asked.lease)
if refused then
  return refused
end

local wait, slot, lost = 0, nil, {}
if #asked.demands > 0 then
  look(asked)
  lost = prepare(asked)
  wait = wait_of(asked.demands, asked.ahead)
  if wait > math.min(patience, HORIZON_US) then
    write(asked)
    return { 'late', wait, nows(asked), lost }
  end
  if wait == 0 then
    spend(asked, 0, 1)
    slot = {
      send_probe(asked.gates, gates, asked.server, asked.server + asked.lease), prospect(asked.demands[1], asked.ahead),
    }
  end
  write(asked)
end

-- Its owner may still be alive and slow: under a higher fence it can't begin to send any more. What came of it is found
-- out by take.lua.
for key, entry in pairs(abandoned) do
  redis.call('HSET', key, 'fence', text(entry.fence + 1))
  release(entry.idempotency_key, key)
end

redis.call('DEL', RECORD)
redis.call('HSET', RECORD, 'state', slot and 'sent' or 'received', 'fence', fence, 'created_ms', at_ms,
  'lease_until_ms', text(server_ms + lease_ms), 'order_key', ORDER, unpack(ARGV, 9, fields_end))
redis.call('ZADD', LEASES, text(server_ms + lease_ms), string.match(RECORD, '[^:]+$'))
if slot then
  redis.call('HSET', RECORD, 'sent_ms', at_ms)
end
redis.call('PEXPIRE', RECORD, ttl_ms)
redis.call('SET', ORDER, RECORD, 'PX', lease_ms)
if fingerprint ~= '' then
  redis.call('HSET', RECORD, 'idempotency_key', KEY)
  redis.call('SET', KEY, fingerprint .. ' ' .. RECORD, 'PX', ttl_ms)
end
return { 'fresh', fence, wait, nows(asked), lost, slot }
