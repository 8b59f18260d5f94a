-- Begins the epochs that are missing. ARGV: time override, then the demands. KEYS: the demands. Answers lost.

local server = server_clock(ARGV[1])
local demands = demands_from(1, 2)
return arm(demands, look(demands, server), server)
