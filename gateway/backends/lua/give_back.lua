-- Undoes a grant that is still the newest of every ring. ARGV: time override, at_us, then the demands.
-- KEYS: the demands. Answers 1, or 0 where the slot is wasted.

local server, granted = server_clock(ARGV[1]), tonumber(ARGV[2])
local demands = demands_from(1, 3)
look(demands, server)
local first = demands[1].epoch.now
for _, demand in ipairs(demands) do
  demand.at = granted - first + demand.epoch.now
  local oldest = demand.known >= demand.weight and redis.call('LINDEX', demand.ring, demand.weight - 1)
  if demand.epoch.lost or demand.head ~= demand.at or whole(oldest) ~= demand.at then
    return 0
  end
end
for _, demand in ipairs(demands) do
  redis.call('LTRIM', demand.ring, demand.weight, -1)
  if demand.known >= demand.keep then
    -- What the ring pushed out may not have rested yet: its bound takes its place.
    local bound = demand.at - demand.window
    local tail = whole(redis.call('LINDEX', demand.ring, -1))
    bound = math.min(bound, tail or bound)
    for _ = 1, demand.weight do
      redis.call('RPUSH', demand.ring, text(bound))
    end
    local rests = math.max(demand.at, demand.epoch.now) + demand.window - demand.epoch.now
    redis.call('PEXPIRE', demand.ring, text(math.ceil(rests / 1000) + EXPIRY_SLACK_MS))
  end
end
return 1
