-- Lets a grant count from a later instant on, since the venue may have counted it only then. One that went with lost
-- data came all the same, and is written down anew.
-- ARGV: at_us, late_us (both in the first holder's time), then as in admit.lua; KEYS: likewise. Answers with the instant
-- from which it counts now, or 0 where nothing had to be moved.

local asked, granted, late = asked_for(1, 3), tonumber(ARGV[1]), tonumber(ARGV[2])
look(asked)
local first = asked.demands[1].holder.now
late = min(late, first)
if late <= granted then
  return 0
end
for _, demand in ipairs(asked.demands) do
  local shift = demand.holder.now - first
  local postpone = demand.large and level_postpone or ring_postpone
  local spend = demand.large and level_spend or ring_spend
  if not demand.holder.lost then
    if not postpone(demand, granted + shift, late + shift) then
      spend(demand, late + shift, 0)
    end
    redis.call('HSET', demand.holder.key, 'spent:' .. demand.limit, demand.spent)
  end
end
return late
