-- Each demand by itself, without a write: {free, wait_us for weight 1} one after the other.
-- ARGV: time override, ahead, then the demands. KEYS: the demands.

local server, ahead = server_clock(ARGV[1]), tonumber(ARGV[2])
local demands = demands_from(1, 3)
look(demands, server)
local prospects = {}
for _, demand in ipairs(demands) do
  demand.weight = 1
  local resting = 0
  for index = 0, demand.tokens - 1 do
    if entry_at(demand, index, ahead) + demand.window > demand.epoch.now then
      resting = resting + 1
    end
  end
  prospects[#prospects + 1] = demand.tokens - resting
  prospects[#prospects + 1] = wait_of({ demand }, ahead)
end
return prospects
