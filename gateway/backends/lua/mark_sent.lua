-- Writes `sent` before bytes leave. A record whose lease ran out may be somebody else's by now; and a slot that was
-- reserved before a gate closed does not pass it, unless it is the probe that may.
-- KEYS: record, then the gates. ARGV: time override, fence, at_ms, probe, a probe's lease.
-- Answers 1, 0, or {'gated', place, banned, wait_us}.

local entry = read_record(KEYS[1])
local server = server_clock(ARGV[1])
local server_ms = math.floor(server / 1000)
local lawful = entry and entry.fence == tonumber(ARGV[2]) and entry.lease > server_ms and STEPS[entry.state].sent
if entry and not lawful then
  return 0
end
local names = { unpack(KEYS, 2) }
local lease = ARGV[4] == '1' and 0 or tonumber(ARGV[5])
local refused = shut(read_gates(names), #names, server, lease)
if refused then
  return refused
end
-- A record that is gone went with the store's data: a lost note is no reason to refuse whoever waited.
if entry then
  redis.call('HSET', KEYS[1], 'state', 'sent', 'sent_ms', ARGV[3])
end
return 1
