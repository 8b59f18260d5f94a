-- Closes one gate, never for shorter than before. KEYS: the gate.
-- ARGV: time override, whether it is a ban, the stated µs ('' for none), the least, the usual and the most µs, the most
-- doublings. Answers for how long it is closed now.

local server = server_clock(ARGV[1])
local banned, stated = tonumber(ARGV[2]), tonumber(ARGV[3])
local least, usual, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local gate = read_gates(KEYS)[1]
local still = gate and gate_closed(gate, server)
local closures = gate and math.min(tonumber(ARGV[7]), gate.closures + (still and 0 or 1)) or 0
local pause = math.min(most, math.max(stated or 0, (stated and least or usual) * 2 ^ closures))
local ends, probed = server + pause, 0
if still then
  ends, banned, probed = math.max(gate.ends, ends), math.max(gate.banned, banned), gate.probed
end
write_gate(KEYS[1], { ends = ends, pause = ends - server, banned = banned, closures = closures, probed = probed }, server)
return ends - server
