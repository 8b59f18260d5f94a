-- A limit as a ring of grant instants, newest first, in one string of 16 digits each: the twin of core/ring.py.

local DIGITS = 16

local function ring_sound(spent, latest)
  return #spent % DIGITS == 0 and not string.find(spent, '%D')
    and (spent == '' or tonumber(string.sub(spent, 1, DIGITS)) <= latest)
end

local function ring_entry(demand, index, ahead)
  local known = #demand.spent / DIGITS
  local armed = demand.holder.armed
  if index < known then
    return math.max(tonumber(string.sub(demand.spent, index * DIGITS + 1, (index + 1) * DIGITS)), armed)
  end
  local unsent = math.max(0, ahead - (index - known))
  return armed + math.ceil(unsent / demand.keep) * demand.window
end

local function ring_earliest(demand, ahead)
  return ring_entry(demand, demand.tokens - demand.weight, ahead) + demand.window
end

-- A slot that was reserved ahead may be newer than this one.
local function ring_spend(demand, at)
  local spent, place, written = demand.spent, 0, string.format('%016.0f', at)
  while place < #spent and string.sub(spent, place + 1, place + DIGITS) > written do
    place = place + DIGITS
  end
  spent = string.sub(spent, 1, place) .. string.rep(written, demand.weight) .. string.sub(spent, place + 1)
  demand.spent = string.sub(spent, 1, demand.own_keep * DIGITS)
end

local function ring_undo(demand, at)
  local spent, own = demand.spent, string.rep(string.format('%016.0f', at), demand.weight)
  if string.sub(spent, 1, #own) ~= own then
    return false
  end
  demand.spent = string.sub(spent, #own + 1)
  if #spent >= demand.keep * DIGITS then
    local bound = at - demand.window
    if demand.spent ~= '' then
      bound = math.min(bound, tonumber(string.sub(demand.spent, -DIGITS)))
    end
    demand.spent = demand.spent .. string.rep(string.format('%016.0f', bound), demand.weight)
  end
  return true
end

local function ring_free(demand, ahead)
  local low, high = 0, demand.tokens
  while low < high do
    local middle = math.floor((low + high) / 2)
    if ring_entry(demand, middle, ahead) + demand.window <= demand.holder.now then
      high = middle
    else
      low = middle + 1
    end
  end
  return demand.tokens - low
end
