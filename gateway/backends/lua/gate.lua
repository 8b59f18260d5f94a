-- Gates: the twin of core/gate.py, where the reasons stand.
-- Written as: until_us, pause_us, banned, closures, probe_until_us, with spaces between. What can't be read is no gate.
--
-- The number of gates is an argument. On a cluster only the account's own gate lies in the slot of its limits; the
-- egress' and the venue's must be asked for in a step of their own before, and their probe be taken there.

local GATE_REMEMBERED_MS = 3600000

local function read_gate(value)
  local ends, pause, banned, closures, probed =
    match(value or '', '^(%d+) (%d+) ([01]) (%d+) (%d+)$')
  if not ends then
    return nil
  end
  return {
    ends = tonumber(ends), pause = tonumber(pause), banned = tonumber(banned),
    closures = tonumber(closures), probed = tonumber(probed),
  }
end

local function read_gates(keys)
  if #keys == 0 then
    return {}
  end
  local gates = call('MGET', unpack(keys))
  for index = 1, #keys do
    gates[index] = read_gate(gates[index])
  end
  return gates
end

-- Kept for a while after it has opened, since whoever closes it again soon closes it for longer.
local function write_gate(key, gate, server)
  local left = max(0, gate.ends - server, gate.probed - server)
  call('SET', key, format('%.0f %.0f %d %d %.0f', gate.ends, gate.pause, gate.banned, gate.closures,
    gate.probed), 'PX', text(ceil(left / 1000) + GATE_REMEMBERED_MS))
end

local function gate_closed(gate, server)
  local left = gate.ends - server
  return left > 0 and left <= gate.pause
end

local function gate_shut(gate, server, lease)
  if not gate then
    return 0
  end
  if gate_closed(gate, server) then
    return gate.ends - server
  end
  local probed = gate.probed - server
  return probed > 0 and probed <= lease and probed or 0
end

-- The place of the gate that is shut for longest (from 0; the widest of equal ones), whether it is a ban, and for how
-- long; nil where none is.
local function shut(gates, count, server, lease)
  local place, longest = nil, 0
  for index = 1, count do
    local left = gate_shut(gates[index], server, lease)
    if left > 0 and left >= longest then
      place, longest = index, left
    end
  end
  if place then
    return { 'gated', place - 1, gates[place].banned, longest }
  end
  return nil
end

-- Sends a probe through every gate that is half open, and says whether there was one.
local function send_probe(keys, gates, server, ends)
  local probing = 0
  for index = 1, #keys do
    local gate = gates[index]
    if gate then
      gate.probed, probing = ends, 1
      write_gate(keys[index], gate, server)
    end
  end
  return probing
end
