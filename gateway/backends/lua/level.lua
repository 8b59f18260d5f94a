-- A limit as one level, for large ones: the twin of core/level.py, where the reasons stand.
-- It is written as `L`, the level, the latest grant and the level before that, with spaces between.

local function read_level(spent)
  local level, last, before = match(spent, '^L (%d+) (%d+) (%d+)$')
  return level and { spent = tonumber(level), last = tonumber(last), before = tonumber(before) }
end

local function level_sound(spent, latest)
  local level = spent ~= '' and read_level(spent)
  return spent == '' or (level and level.last <= latest)
end

local function level_pace(demand)
  local burst = floor(demand.keep / 10)
  return burst, ceil(demand.window / (demand.keep - burst))
end

-- Until when a loss holds everybody, and how far the tokens are spent.
local function level_spent(demand, ahead)
  local burst, interval = level_pace(demand)
  local held = demand.holder.armed + max(1, ceil(ahead / (demand.keep - burst))) * demand.window
  local level = read_level(demand.spent)
  return held, max(level and level.spent or 0, held + ahead * interval)
end

local function level_earliest(demand, ahead)
  local burst, interval = level_pace(demand)
  local held, spent = level_spent(demand, ahead)
  return max(held, spent + (demand.weight - burst + demand.keep - demand.tokens) * interval)
end

local function level_write(level, last, before)
  return format('L %.0f %.0f %.0f', level, last, before)
end

local function level_spend(demand, at, ahead)
  local _, interval = level_pace(demand)
  local _, spent = level_spent(demand, ahead)
  local before = max(spent, at)
  demand.spent = level_write(before + demand.weight * interval, at, before)
end

local function level_undo(demand, at)
  local level = read_level(demand.spent)
  if not level or level.last ~= at then
    return false
  end
  demand.spent = level_write(level.before, 0, 0)
  return true
end

local function level_postpone(demand, at, late)
  local level = read_level(demand.spent)
  if not level then
    return false
  end
  local _, interval = level_pace(demand)
  local function raised(spent)
    return min(spent + late - at, max(spent, late) + demand.weight * interval)
  end
  if level.last == at then
    demand.spent = level_write(raised(level.spent), 0, 0)
  else
    demand.spent = level_write(raised(level.spent), level.last, raised(level.before))
  end
  return true
end

local function level_free(demand, ahead)
  if level_earliest(demand, ahead) > demand.holder.now then
    return 0
  end
  local burst, interval = level_pace(demand)
  local _, spent = level_spent(demand, ahead)
  local over = max(0, spent - demand.holder.now)
  local own = burst - (demand.keep - demand.tokens)
  return max(1, floor((own * interval - over) / interval))
end
