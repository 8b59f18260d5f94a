-- What of a limit is in force: the twin of core/terms.py, where the reasons stand.

local FRESH_US = 60000000
local QUIET_US = 600000000
local RELAX_EVERY_US = 60000000
local LARGE_KEEP = 256

local function read_ceiling(value)
  local tokens, tokens_until, window, window_until = match(value or '', '^(%d+) (%d+) (%d+) (%d+)$')
  if not tokens then
    return nil
  end
  return {
    tokens = tonumber(tokens), tokens_until = tonumber(tokens_until),
    window = tonumber(window), window_until = tonumber(window_until),
  }
end

local function write_ceiling(ceiling)
  return format('%.0f %.0f %.0f %.0f', ceiling.tokens, ceiling.tokens_until, ceiling.window,
    ceiling.window_until)
end

local function read_learned(value)
  local tokens, ends = match(value or '', '^(%d+) (%d+)$')
  return tokens and { tokens = tonumber(tokens), ends = tonumber(ends) }
end

local function write_learned(learned)
  return format('%.0f %.0f', learned.tokens, learned.ends)
end

-- The ceiling after this replica asked, and whether that changed it.
local function refresh(ceiling, keep, window, now)
  local lasting = max(FRESH_US, window)
  local ends, soon = now + lasting, now + floor(lasting * 5 / 6)
  if not ceiling then
    return { tokens = keep, tokens_until = ends, window = window, window_until = ends }, true
  end
  local changed = false
  if ceiling.tokens_until <= now or keep < ceiling.tokens
    or (keep == ceiling.tokens and ceiling.tokens_until < soon) then
    ceiling.tokens, ceiling.tokens_until, changed = keep, ends, true
  end
  if ceiling.window_until <= now or window > ceiling.window
    or (window == ceiling.window and ceiling.window_until < soon) then
    ceiling.window, ceiling.window_until, changed = window, ends, true
  end
  return ceiling, changed
end

local function relaxed(learned, keep, now)
  if not learned then
    return keep
  end
  if now < learned.ends then
    return min(keep, learned.tokens)
  end
  local steps = floor((now - learned.ends) / RELAX_EVERY_US) + 1
  return min(keep, learned.tokens + steps * max(1, floor(keep / 10)))
end

-- The fewest tokens and the longest window that any replica is configured with.
local function lowest(demand, now)
  local ceiling, keep, window = demand.ceiling, demand.own_keep, demand.own_window
  if ceiling and now < ceiling.tokens_until then
    keep = min(keep, ceiling.tokens)
  end
  if ceiling and now < ceiling.window_until then
    window = max(window, ceiling.window)
  end
  return keep, window
end

-- Settles tokens, keep and window of a demand as they are in force for a request of this weight.
local function settle_terms(demand, weight, now)
  local keep, window = lowest(demand, now)
  local left = relaxed(demand.learned, keep, now)
  demand.weight, demand.window = weight, window
  demand.keep = min(demand.own_keep, max(left, weight))
  demand.tokens = max(weight, demand.keep - (demand.own_keep - demand.own_tokens))
end
