-- The ring limiter, shared by every script that admits: the twin of core/admission.py, where the reasons stand.
-- Keys come in pairs (ring, epoch), arguments in fours (tokens, keep, window_us, weight), one set per demand.
-- All numbers are whole microseconds below 2^53; %d and tostring would spoil them, so text() writes them.

local HORIZON_US = 600000000
local EXPIRY_SLACK_MS = 1000

local function whole(value)
  if type(value) ~= 'string' or #value > 16 or not (value == '0' or string.match(value, '^[1-9]%d*$')) then
    return nil
  end
  local number = tonumber(value)
  return number < 9007199254740992 and number or nil
end

local function text(number)
  return string.format('%.0f', number)
end

-- Only tests pass a time; in production the server's own clock is the one that all replicas share.
local function server_clock(override)
  if override ~= '' then
    return tonumber(override)
  end
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function demands_from(key_at, arg_at)
  local demands = {}
  while KEYS[key_at] do
    demands[#demands + 1] = {
      ring = KEYS[key_at], holder = KEYS[key_at + 1],
      tokens = tonumber(ARGV[arg_at]), keep = tonumber(ARGV[arg_at + 1]),
      window = tonumber(ARGV[arg_at + 2]), weight = tonumber(ARGV[arg_at + 3]),
    }
    key_at, arg_at = key_at + 2, arg_at + 4
  end
  return demands
end

local function read_epoch(key, server)
  local got = redis.pcall('HMGET', key, 'armed_us', 'seen_us', 'offset_us')
  if got.err then
    return { now = server, lost = 'corrupt' }
  end
  local armed, seen, offset = whole(got[1]), whole(got[2]), whole(got[3])
  if not got[1] and not got[2] and not got[3] then
    return { now = server, lost = 'missing' }
  end
  if not armed or not seen or not offset or armed > seen then
    return { now = server, lost = 'corrupt' }
  end
  return { now = math.max(server + offset, seen), armed = armed }
end

local function read_ring(demand, now)
  local length = redis.pcall('LLEN', demand.ring)
  if type(length) ~= 'number' then
    return false
  end
  demand.known = length
  local head = length > 0 and whole(redis.call('LINDEX', demand.ring, 0))
  demand.head = head or 0
  return length == 0 or (head and head <= now + HORIZON_US)
end

-- Reads without writing. A holder that lost anything counts as armed now, its rings as empty.
local function look(demands, server)
  local epochs = {}
  for _, demand in ipairs(demands) do
    local epoch = epochs[demand.holder] or read_epoch(demand.holder, server)
    epochs[demand.holder], demand.epoch = epoch, epoch
    if not read_ring(demand, epoch.now) then
      epoch.lost = epoch.lost or 'corrupt'
    end
  end
  for _, demand in ipairs(demands) do
    if demand.epoch.lost then
      demand.epoch.armed, demand.known, demand.head = demand.epoch.now, 0, 0
    end
  end
  return epochs
end

local function write_epoch(key, epoch, server)
  redis.call('HSET', key, 'armed_us', text(epoch.armed), 'seen_us', text(epoch.now),
    'offset_us', text(epoch.now - server))
end

-- Begins new epochs where data was lost; answers with their keys and reasons, to be logged once.
local function arm(demands, epochs, server)
  local lost = {}
  for _, demand in ipairs(demands) do
    if demand.epoch.lost then
      redis.call('DEL', demand.ring)
    end
  end
  for key, epoch in pairs(epochs) do
    if epoch.lost then
      redis.call('DEL', key)
      write_epoch(key, epoch, server)
      lost[#lost + 1] = key
      lost[#lost + 1] = epoch.lost
    end
  end
  return lost
end

local function entry_at(demand, index, ahead)
  if index < demand.known then
    local entry = index == 0 and demand.head or whole(redis.call('LINDEX', demand.ring, index))
    -- Garbage deep in a ring counts as the newest entry, which is never too early.
    return math.max(entry or demand.head, demand.epoch.armed)
  end
  local unsent = math.max(0, ahead - (index - demand.known))
  return demand.epoch.armed + math.ceil(unsent / demand.keep) * demand.window
end

local function wait_of(demands, ahead)
  local longest = 0
  for _, demand in ipairs(demands) do
    local rested = entry_at(demand, demand.tokens - demand.weight, ahead) + demand.window
    longest = math.max(longest, rested - demand.epoch.now)
  end
  return longest
end

-- Newest first; a slot that was reserved ahead may be newer than this one.
local function insert(demand, at)
  local place, entry = 0, demand.known > 0 and demand.head or nil
  while entry and entry > at do
    place = place + 1
    entry = whole(redis.call('LINDEX', demand.ring, place))
  end
  for _ = 1, demand.weight do
    if place == 0 then
      redis.call('LPUSH', demand.ring, text(at))
    elseif entry then
      redis.call('LINSERT', demand.ring, 'BEFORE', text(entry), text(at))
    else
      redis.call('RPUSH', demand.ring, text(at))
    end
  end
end

local function spend(demands, epochs, server, wait)
  for _, demand in ipairs(demands) do
    local at = demand.epoch.now + wait
    insert(demand, at)
    redis.call('LTRIM', demand.ring, 0, demand.keep - 1)
    local rests = math.max(at, demand.head) + demand.window - demand.epoch.now
    redis.call('PEXPIRE', demand.ring, text(math.ceil(rests / 1000) + EXPIRY_SLACK_MS))
  end
  for key, epoch in pairs(epochs) do
    write_epoch(key, epoch, server)
  end
  return demands[1].epoch.now + wait
end
