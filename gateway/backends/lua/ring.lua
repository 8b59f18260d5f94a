-- A limit as a ring of grant instants, newest first, in one string of 16 digits each: the twin of core/ring.py.

local DIGITS, AHEAD_MOST, SOON_US = 16, 64, 20000

local function remembered(keep)
  return 2 * keep + AHEAD_MOST
end

local function ring_sound(spent, latest)
  if spent == '' then
    return true
  end
  local head = #spent % DIGITS == 0 and not string.find(sub(spent, 1, DIGITS), '%D') and tonumber(sub(spent, 1, DIGITS))
  return head and head <= latest
end

local function ring_entry(demand, index, ahead)
  local known = #demand.spent / DIGITS
  local armed = demand.holder.armed
  if index < known then
    local entry = tonumber(sub(demand.spent, index * DIGITS + 1, (index + 1) * DIGITS))
    -- Garbage deep in a ring counts as the newest entry, which is never too early.
    return max(entry or tonumber(sub(demand.spent, 1, DIGITS)), armed)
  end
  local unsent = max(0, ahead - (index - known))
  return armed + ceil(unsent / demand.keep) * demand.window
end

local function ring_earliest(demand, ahead)
  return ring_entry(demand, demand.tokens - demand.weight, ahead) + demand.window
end

-- Whether the request may go now, before slots that are reserved for later; see core/ring.py.
local function ring_fits(demand, ahead)
  local spent, now, window, keep = demand.spent, demand.holder.now, demand.window, demand.keep
  local known, later = #spent / DIGITS, 0
  local limit = format('%016.0f', now)
  while later < known and sub(spent, later * DIGITS + 1, (later + 1) * DIGITS) > limit do
    later = later + 1
  end
  local forgotten = known >= remembered(keep) and known < later + keep
  if later == 0 or forgotten or demand.holder.armed + (1 + ceil(ahead / keep)) * window > now then
    return false
  end
  if ring_entry(demand, later + demand.tokens - demand.weight, ahead) + window > now then
    return false
  end
  for index = max(0, later - keep), later - 1 do
    local before = now
    if index + keep >= later + demand.weight then
      before = ring_entry(demand, index + keep - demand.weight, ahead)
    end
    if ring_entry(demand, index, ahead) - before < window then
      return false
    end
  end
  return true
end

local function ring_place(spent, at)
  local place, written = 0, format('%016.0f', at)
  while place < #spent and sub(spent, place + 1, place + DIGITS) > written do
    place = place + DIGITS
  end
  return place
end

-- A slot that was reserved ahead may be newer than this one.
local function ring_spend(demand, at)
  local spent, place = demand.spent, ring_place(demand.spent, at)
  spent = sub(spent, 1, place) .. string.rep(format('%016.0f', at), demand.weight) .. sub(spent, place + 1)
  demand.spent = sub(spent, 1, remembered(demand.own_keep) * DIGITS)
end

local function ring_undo(demand, at)
  local spent, place = demand.spent, ring_place(demand.spent, at)
  local own = string.rep(format('%016.0f', at), demand.weight)
  if sub(spent, place + 1, place + #own) ~= own then
    return false
  end
  demand.spent = sub(spent, 1, place) .. sub(spent, place + #own + 1)
  if #spent >= remembered(demand.keep) * DIGITS then
    local bound = place == 0 and at - demand.window or at
    if demand.spent ~= '' then
      bound = min(bound, tonumber(sub(demand.spent, -DIGITS)) or bound)
    end
    demand.spent = demand.spent .. string.rep(format('%016.0f', bound), demand.weight)
  end
  return true
end

-- Whether a grant is not there only because more were granted after it than are remembered.
local function ring_pushed_out(demand, at)
  local full = #demand.spent >= remembered(demand.keep) * DIGITS
  return full and ring_place(demand.spent, at) + demand.weight * DIGITS > #demand.spent
end

local function ring_postpone(demand, at, late)
  local spent, own = demand.spent, string.rep(format('%016.0f', at), demand.weight)
  local place = ring_place(spent, at)
  if sub(spent, place + 1, place + #own) ~= own then
    return false
  end
  spent = sub(spent, 1, place) .. sub(spent, place + #own + 1)
  place = ring_place(spent, late)
  local moved = string.rep(format('%016.0f', late), demand.weight)
  demand.spent = sub(spent, 1, place) .. moved .. sub(spent, place + 1)
  return true
end

local function ring_holds(demand, at)
  local place = ring_place(demand.spent, at) + demand.keep * DIGITS
  local before = tonumber(sub(demand.spent, place + 1, place + DIGITS))
  return place >= #demand.spent or (before ~= nil and before + demand.window <= at)
end

-- The next instant for a slot that has to move; see core/ring.py.
local function ring_soonest(demand, from, ahead)
  local spent = demand.spent
  local known = #spent / DIGITS
  while true do
    local index = ring_place(spent, from + SOON_US) / DIGITS + demand.tokens - demand.weight
    local entry
    if known >= remembered(demand.keep) and index >= known then
      entry = tonumber(sub(spent, -DIGITS)) or demand.holder.now
    else
      entry = ring_entry(demand, index, ahead)
    end
    if entry + demand.window <= from then
      return from
    end
    from = entry + demand.window
  end
end

-- Entries have as many digits each, so they can be compared as they lie there.
local function ring_free(demand, ahead)
  local spent, rested = demand.spent, demand.holder.now - demand.window
  local known = min(#spent / DIGITS, demand.tokens)
  local low = known
  if demand.holder.armed <= rested then
    local limit, high = format('%016.0f', rested), known
    low = 0
    while low < high do
      local middle = floor((low + high) / 2)
      if sub(spent, middle * DIGITS + 1, (middle + 1) * DIGITS) > limit then
        low = middle + 1
      else
        high = middle
      end
    end
  end
  while low >= known and low < demand.tokens and ring_entry(demand, low, ahead) > rested do
    low = low + 1
  end
  return demand.tokens - low
end
