-- The next slot under all demands at once, or how far it is.
-- ARGV: time override, patience_us, ahead, then the demands. KEYS: the demands.
-- Answers {1, at_us, wait_us, lost} or {0, wait_us, lost}.

local server = server_clock(ARGV[1])
local patience, ahead = tonumber(ARGV[2]), tonumber(ARGV[3])
local demands = demands_from(1, 4)
local epochs = look(demands, server)
local lost = arm(demands, epochs, server)
local wait = wait_of(demands, ahead)
if wait > math.min(patience, HORIZON_US) then
  return { 0, wait, lost }
end
return { 1, spend(demands, epochs, server, wait), wait, lost }
