-- Slots under all demands at once: as many as are free, or the next one, or how far it is.
-- ARGV: patience_us, the most slots, then as in admit.lua. KEYS: as in admit.lua.
-- Answers {'slots', count, wait_us, times, lost, probe, free, reset_us}, {'far', wait_us, times, lost} or
-- {'gated', place, banned, wait_us}. Where a gate is half open only one slot is given: the probe.

local asked = asked_for(1, 3)
local gates = read_gates(asked.gates)
local refused = shut(gates, #asked.gates, asked.server, asked.lease)
if refused then
  return refused
end
look(asked)
local lost = prepare(asked)
local wait = wait_of(asked.demands, asked.ahead)
if wait > math.min(tonumber(ARGV[1]), HORIZON_US) then
  write(asked)
  return { 'far', wait, nows(asked), lost }
end
local probing = send_probe(asked.gates, gates, asked.server, asked.server + wait + asked.lease)
local taken = spend(asked, wait, probing == 1 and 1 or tonumber(ARGV[2]))
write(asked)
return { 'slots', taken, wait, nows(asked), lost, probing, prospect(asked.demands[1], asked.ahead) }
