-- The gates that let nobody through now: place, whether it is a ban, and for how long, one after the other.
-- KEYS: the gates. ARGV: time override, a probe's lease.

local server, gates, standing = server_clock(ARGV[1]), read_gates(KEYS), {}
for index = 1, #KEYS do
  local left = gate_shut(gates[index], server, tonumber(ARGV[2]))
  if left > 0 then
    for _, each in ipairs({ index - 1, gates[index].banned, left }) do
      standing[#standing + 1] = each
    end
  end
end
return standing
