-- Learns from a venue's answer about one limit: terms.learn in core. ARGV: the stated tokens ('' where it only refused),
-- then as in admit.lua, for one demand; KEYS: likewise. Answers how many tokens are in force now.

local stated, asked = tonumber(ARGV[1]), asked_for(1, 2)
look(asked)
local demand = asked.demands[1]
local holder = demand.holder
if holder.lost then
  return demand.own_keep
end
local keep, window = lowest(demand, holder.now)
local left, learned = relaxed(demand.learned, keep, holder.now), demand.learned
if stated then
  learned = { tokens = math.max(1, math.min(stated, left)), ends = holder.now + QUIET_US }
elseif not learned or holder.now >= learned.ends - QUIET_US + window then
  learned = { tokens = math.max(1, math.floor(left * 4 / 5)), ends = holder.now + QUIET_US }
end
redis.call('HSET', holder.key, 'learned:' .. demand.limit, write_learned(learned))
return relaxed(learned, keep, holder.now)
