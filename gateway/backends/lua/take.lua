-- Takes records over whose end is not known and which nobody works on: those whose turn has come, or the one that is
-- named. What was sent is unknown; and each is ours until the lease ends, under a higher fence.
-- What has no note that it was sent hardly ever was: whoever had it died in line, or could not reach the store and died
-- before it could tell. Its order and its key are free at once, and it is looked at when nothing else has to be.
-- KEYS: leases, unknown. ARGV: time override, what keys of records begin with, what their ids end with, lease_ms,
-- at_ms, channel, the most, the ULID of a named record or ''.
-- Answers {how many are unknown, taken, freed, lost}: records as they lie there; pointers in other slots that have to be
-- freed, with the record's key behind each; ULIDs of records that nobody can read any more.

local ASIDE_MOST = 200 -- in one call: it must not hold the server up
local LEASES, UNKNOWN = KEYS[1], KEYS[2]
local server_ms = math.floor(server_clock(ARGV[1]) / 1000)
local prefix, suffix, lease_ms, at_ms, channel = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local most, named = tonumber(ARGV[7]), ARGV[8]
local taken, freed, lost, aside = {}, {}, {}, 0

local function forget(ulid)
  redis.call('ZREM', LEASES, ulid)
  redis.call('ZREM', UNKNOWN, ulid)
end

-- A record that can't be read is unknown, if it still says which order it is about.
local function mend(key, ulid)
  local known = redis.pcall('HMGET', key, 'by', 'ref', 'fence', 'created_ms')
  if known.err or not known[1] or not known[2] then
    return nil
  end
  redis.call('HDEL', key, 'outcome', 'body')
  redis.call('HSET', key, 'state', 'unknown', 'id', ulid .. suffix, 'fence', text(tonumber(known[3]) or 0),
    'created_ms', tonumber(known[4]) and known[4] or at_ms, 'lease_until_ms', '0')
  return read_record(key)
end

-- Lets others go on in its place; it waits behind all that is known to have been sent.
local function set_aside(key, ulid, entry)
  aside = aside + 1
  redis.call('ZADD', LEASES, text(LAST + server_ms), ulid)
  release(entry.order_key, key)
  release(entry.idempotency_key, key)
  if entry.far_key then
    freed[#freed + 1], freed[#freed + 2] = entry.far_key, key
  end
  announce(entry, channel)
end

local function take(key, ulid, entry)
  local ends = text(server_ms + lease_ms)
  local state = entry.state == 'sent' and 'unknown' or entry.state
  redis.call('HSET', key, 'state', state, 'fence', text(entry.fence + 1), 'lease_until_ms', ends)
  redis.call('ZREM', LEASES, ulid)
  if UNNOTED[state] then
    redis.call('ZADD', LEASES, text(LAST + server_ms + lease_ms), ulid)
  elseif state == 'unknown' then
    redis.call('ZADD', UNKNOWN, ends, ulid)
  end
  release(entry.order_key, key)
  taken[#taken + 1] = redis.call('HGETALL', key)
end

local function consider(ulid, last)
  local key = prefix .. ulid
  local entry = read_record(key)
  if not entry or entry.id ~= ulid .. suffix then
    entry = mend(key, ulid)
  end
  if not entry then
    forget(ulid)
    if redis.call('EXISTS', key) == 1 then
      lost[#lost + 1] = ulid
    end
  elseif entry.lease > server_ms then
    if ulid ~= named then
      redis.call('ZADD', entry.state == 'unknown' and UNKNOWN or LEASES, text((last and LAST or 0) + entry.lease), ulid)
    end
  elseif UNNOTED[entry.state] and not last then
    set_aside(key, ulid, entry)
    if ulid == named then
      take(key, ulid, entry)
    end
  elseif OPEN[entry.state] or (entry.state == 'acknowledged' and ulid == named) then
    take(key, ulid, entry)
  else
    forget(ulid)
  end
end

if named ~= '' then
  consider(named)
else
  local function those_due(index, first, last)
    local until_ms = text((last and LAST or 0) + server_ms)
    for _, ulid in ipairs(redis.call('ZRANGEBYSCORE', index, first, until_ms, 'LIMIT', 0, most - #taken)) do
      consider(ulid, last)
    end
  end
  -- Whoever is set aside leaves the front of the index to the next.
  repeat
    local before = aside
    those_due(LEASES, '-inf', false)
  until aside == before or aside >= ASIDE_MOST
  those_due(UNKNOWN, '-inf', false)
  if aside < ASIDE_MOST then
    those_due(LEASES, text(LAST), true)
  end
end
return { redis.call('ZCARD', UNKNOWN), taken, freed, lost }
