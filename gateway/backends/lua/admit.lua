-- Admission, shared by every script that grants or looks: the twin of core/admission.py, where the reasons stand.
-- KEYS, from a place on: the gates, then the holders; each holder is one hash, so it is lost as a whole or not at all.
-- ARGV, from a place on: time override, ahead, number of gates, a probe's lease, number of holders, what is expected of
-- each one's time (0 for nothing), then six of each demand: limit, place of its holder, tokens, keep, window_us, weight.

local function asked_for(key_at, arg_at)
  local asked = {
    server = server_clock(ARGV[arg_at]), ahead = tonumber(ARGV[arg_at + 1]), lease = tonumber(ARGV[arg_at + 3]),
    gates = {}, holders = {}, demands = {},
  }
  for index = 1, tonumber(ARGV[arg_at + 2]) do
    asked.gates[index], key_at = KEYS[key_at], key_at + 1
  end
  local holders = tonumber(ARGV[arg_at + 4])
  arg_at = arg_at + 5
  for index = 1, holders do
    asked.holders[index] = {
      key = KEYS[key_at], expected = tonumber(ARGV[arg_at]), demands = {}, fields = { 'armed_us', 'seen_us', 'offset_us' },
    }
    key_at, arg_at = key_at + 1, arg_at + 1
  end
  while ARGV[arg_at] do
    local holder, limit = asked.holders[tonumber(ARGV[arg_at + 1])], ARGV[arg_at]
    local demand = {
      limit = limit, holder = holder, own_tokens = tonumber(ARGV[arg_at + 2]), own_keep = tonumber(ARGV[arg_at + 3]),
      own_window = tonumber(ARGV[arg_at + 4]), weight = tonumber(ARGV[arg_at + 5]),
    }
    asked.demands[#asked.demands + 1], holder.demands[#holder.demands + 1] = demand, demand
    local fields = holder.fields
    fields[#fields + 1], fields[#fields + 2] = 'spent:' .. limit, 'ceiling:' .. limit
    fields[#fields + 1] = 'learned:' .. limit
    arg_at = arg_at + 6
  end
  return asked
end

local function read_time(holder, got, server)
  local armed, seen, offset = whole(got[1]), whole(got[2]), signed(got[3])
  holder.now = server
  if not got[1] and not got[2] and not got[3] then
    holder.lost = 'missing'
  elseif not armed or not seen or not offset or armed > seen then
    holder.lost = 'corrupt'
  else
    holder.now = max(server + offset, seen)
    if holder.expected > 0 and holder.expected < holder.now - JUMP_US then
      holder.now = max(holder.expected, seen)
    end
    holder.armed, holder.shifted = armed, holder.now ~= server + offset
  end
end

local function read_demand(demand, spent, ceiling, learned)
  local holder = demand.holder
  demand.spent, demand.ceiling, demand.learned = spent or '', read_ceiling(ceiling), read_learned(learned)
  demand.large = lowest(demand, holder.now) > LARGE_KEEP
  local latest = holder.now + HORIZON_US
  local ring, level = ring_sound(demand.spent, latest), level_sound(demand.spent, latest)
  if not (demand.large and level or not demand.large and ring) then
    holder.lost = holder.lost or ((ring or level) and 'changed' or 'corrupt')
  end
end

-- Reads without writing. A holder that lost anything counts as armed now, its limits as never used.
local function look(asked)
  for _, holder in ipairs(asked.holders) do
    local got = redis.pcall('HMGET', holder.key, unpack(holder.fields))
    if got.err then
      got, holder.lost = {}, 'corrupt'
    end
    local lost = holder.lost
    read_time(holder, got, asked.server)
    holder.lost = lost or holder.lost
    for index, demand in ipairs(holder.demands) do
      read_demand(demand, got[index * 3 + 1], got[index * 3 + 2], got[index * 3 + 3])
    end
    for _, demand in ipairs(holder.demands) do
      if holder.lost then
        holder.armed, demand.spent = holder.now, ''
      end
      settle_terms(demand, demand.weight, holder.now)
    end
  end
end

-- A loss leaves what was learned, and what others are configured with, as far as it can be read.
local function refresh_ceilings(holder)
  local writes = holder.writes
  for _, demand in ipairs(holder.demands) do
    local learned, changed = demand.learned, false
    demand.ceiling, changed = refresh(demand.ceiling, demand.own_keep, demand.own_window, holder.now)
    if changed or holder.lost then
      writes[#writes + 1], writes[#writes + 2] = 'ceiling:' .. demand.limit, write_ceiling(demand.ceiling)
      settle_terms(demand, demand.weight, holder.now)
    end
    if holder.lost and learned then
      writes[#writes + 1], writes[#writes + 2] = 'learned:' .. demand.limit, write_learned(learned)
    end
  end
end

-- Begins new epochs where data was lost, notes jumps and lower ceilings; none of it is a grant. Answers with the keys
-- and reasons of what was lost, to be logged once.
local function prepare(asked)
  local lost = {}
  for _, holder in ipairs(asked.holders) do
    holder.writes = {}
    if holder.lost then
      call('DEL', holder.key)
      lost[#lost + 1], lost[#lost + 2] = holder.key, holder.lost
      holder.writes = { 'armed_us', text(holder.armed), 'seen_us', text(holder.now) }
    elseif holder.shifted then
      holder.writes = { 'seen_us', text(holder.now) }
    end
    if holder.lost or holder.shifted then
      local writes = holder.writes
      writes[#writes + 1], writes[#writes + 2] = 'offset_us', text(holder.now - asked.server)
    end
    refresh_ceilings(holder)
  end
  return lost
end

local function write(asked)
  for _, holder in ipairs(asked.holders) do
    if #holder.writes > 0 then
      call('HSET', holder.key, unpack(holder.writes))
    end
  end
end

local function rests_now(demand, ahead)
  if demand.large then
    return level_earliest(demand, ahead) <= demand.holder.now
  end
  return ring_earliest(demand, ahead) <= demand.holder.now or ring_fits(demand, ahead)
end

-- Nothing at all where every demand has a token now, also in front of slots that are reserved; else until all have
-- one behind them.
local function wait_of(demands, ahead)
  local longest, all_now = 0, true
  for _, demand in ipairs(demands) do
    all_now = all_now and rests_now(demand, ahead)
  end
  if all_now then
    return 0
  end
  for _, demand in ipairs(demands) do
    local earliest = demand.large and level_earliest(demand, ahead) or ring_earliest(demand, ahead)
    longest = max(longest, earliest - demand.holder.now)
  end
  return longest
end

-- Takes up to `most` slots at once where `wait` is 0, else the one that lies so far ahead; answers how many.
local function spend(asked, wait, most)
  local taken, ahead = 0, asked.ahead
  repeat
    for _, demand in ipairs(asked.demands) do
      if demand.large then
        level_spend(demand, demand.holder.now + wait, ahead)
      else
        ring_spend(demand, demand.holder.now + wait)
      end
    end
    taken = taken + 1
  until taken >= most or wait > 0 or wait_of(asked.demands, ahead) > 0
  for _, holder in ipairs(asked.holders) do
    local writes = holder.writes
    writes[#writes + 1], writes[#writes + 2] = 'seen_us', text(holder.now)
    for _, demand in ipairs(holder.demands) do
      writes[#writes + 1], writes[#writes + 2] = 'spent:' .. demand.limit, demand.spent
    end
  end
  return taken
end

-- How many tokens of one demand are free, and when a request of weight 1 could go.
local function prospect(demand, ahead)
  if demand.weight > 1 then
    settle_terms(demand, 1, demand.holder.now)
  end
  local free = demand.large and level_free(demand, ahead) or ring_free(demand, ahead)
  return free, free > 0 and 0 or wait_of({ demand }, ahead)
end

local function nows(asked)
  local times = {}
  for index, holder in ipairs(asked.holders) do
    times[index] = holder.now
  end
  return times
end
