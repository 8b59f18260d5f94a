-- Undoes a grant that every limit still remembers. ARGV: at_us, then as in admit.lua; KEYS: likewise. The
-- gates are those that a probe went through: as it was never sent, another may go. Answers 1, or 0 where the slot is
-- wasted.

local asked, granted = asked_for(1, 2), tonumber(ARGV[1])
for index, gate in pairs(read_gates(asked.gates)) do
  gate.probed = 0
  write_gate(asked.gates[index], gate, asked.server)
end
look(asked)
local first = asked.demands[1].holder.now
for _, demand in ipairs(asked.demands) do
  local at = granted - first + demand.holder.now
  local undo = demand.large and level_undo or ring_undo
  if demand.holder.lost or not undo(demand, at) then
    return 0
  end
end
for _, demand in ipairs(asked.demands) do
  redis.call('HSET', demand.holder.key, 'spent:' .. demand.limit, demand.spent)
end
return 1
