-- Each demand by itself, without a write: {free, wait_us for weight 1} one after the other.
-- KEYS and ARGV: as in admit.lua.

local asked = asked_for(1, 1)
look(asked)
local prospects = {}
for _, demand in ipairs(asked.demands) do
  local free, wait = prospect(demand, asked.ahead)
  prospects[#prospects + 1], prospects[#prospects + 2] = free, wait
end
return prospects
