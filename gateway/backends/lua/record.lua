-- Reading records, shared by the scripts below. The tables STEPS, FACTS, UNNOTED and OPEN stand in front of this text: they are
-- made from core/idempotency.py, so that both languages know the same legal steps.

-- What may wait behind all else stands so much further back in an index.
local LAST = 100000000000000

-- A record as a table and as it lies there; nil where nothing lies there that can be one.
local function read_record(key)
  local flat = redis.pcall('HGETALL', key)
  if flat.err then
    return nil
  end
  local entry = {}
  for index = 1, #flat, 2 do
    entry[flat[index]] = flat[index + 1]
  end
  entry.fence, entry.lease = tonumber(entry.fence), tonumber(entry.lease_until_ms)
  if not STEPS[entry.state] or not entry.id or not entry.fence or not entry.lease then
    return nil
  end
  return entry, flat
end

local function pointer(key)
  local value = redis.pcall('GET', key)
  return type(value) == 'string' and value or nil
end

-- Whether somebody who holds the fence `held` may bring this record to the state `wish`: see may_settle in
-- core/idempotency.py.
local function may_settle(entry, held, wish)
  if not STEPS[entry.state][wish] then
    return false
  end
  local known_all_the_same = FACTS[wish] or (wish == 'refused' and UNNOTED[entry.state])
  return held == entry.fence or (held < entry.fence and known_all_the_same or false)
end

-- Deletes a pointer that still leads to this record.
local function release(key, record)
  local value = key and pointer(key)
  if value and (value == record or string.sub(value, -#record - 1) == ' ' .. record) then
    redis.call('DEL', key)
  end
end

-- Tells whoever waits for a record, on this replica or another, that there is news. Nobody is told of what nobody waits
-- for; and where publishing is not allowed, they look by themselves.
local function announce(entry, channel)
  if entry.followed then
    redis.pcall('PUBLISH', channel, entry.id)
  end
end
