-- Takes away the gates that a probe went through; one that was closed again meanwhile stays. KEYS: the gates.
-- ARGV: time override.

local server = server_clock(ARGV[1])
for index, gate in pairs(read_gates(KEYS)) do
  if not gate_closed(gate, server) then
    redis.call('DEL', KEYS[index])
  end
end
return 1
