-- Passes one gate that lies in another slot than the account's limits. KEYS: the gate.
-- ARGV: time override, a probe's lease, '1' to send a probe where it is half open.
-- Answers {'gated', banned, wait_us}, or {'open', whether that was a probe}.

local server, lease = server_clock(ARGV[1]), tonumber(ARGV[2])
local gates = read_gates(KEYS)
local left = gate_shut(gates[1], server, lease)
if left > 0 then
  return { 'gated', gates[1].banned, left }
end
return { 'open', ARGV[3] == '1' and send_probe(KEYS, gates, server, server + lease) or 0 }
