-- Looks once more at a slot that lies ahead, before it is used: what it was built on may have come to the venue late.
-- Or exchanges one that was missed. ARGV: at_us, '1' to exchange it even where it holds, then as in admit.lua; KEYS:
-- likewise. Answers {'stays'}, {'moved', wait_us, times}, or {'forgotten'} where the slot went with lost data: then nobody
-- knows either what became of those that it was built on.

local asked, granted = asked_for(1, 3), tonumber(ARGV[1])
look(asked)
local first, stays = asked.demands[1].holder.now, ARGV[2] ~= '1'
for _, demand in ipairs(asked.demands) do
  local at = granted - first + demand.holder.now
  if demand.holder.lost then
    return { 'forgotten' }
  end
  if demand.large then
    level_undo(demand, at)
  else
    stays = stays and ring_holds(demand, at)
    if not ring_undo(demand, at) then
      return { ring_pushed_out(demand, at) and 'stays' or 'forgotten' }
    end
  end
end
if stays then
  return { 'stays' }
end
prepare(asked)
local wait, longer = -1, ARGV[2] == '1' and 0 or max(0, granted - first)
while longer > wait do
  wait = longer
  for _, demand in ipairs(asked.demands) do
    local now = demand.holder.now
    if demand.large then
      longer = max(longer, level_earliest(demand, asked.ahead) - now)
    else
      longer = max(longer, ring_soonest(demand, now + wait, asked.ahead) - now)
    end
  end
end
spend(asked, wait, 1)
write(asked)
return { 'moved', wait, nows(asked) }
