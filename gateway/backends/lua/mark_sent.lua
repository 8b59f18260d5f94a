-- Writes `sent` before bytes leave. A record whose lease ran out may be somebody else's by now; and a slot that was
-- reserved before a gate closed does not pass it, unless it is the probe that may.
-- KEYS: record, then the gates. ARGV: time override, fence, at_ms, probe, a probe's lease.
-- Answers 1, 0, or {'gated', place, banned, wait_us}.

local entry = read_record(KEYS[1])
local server = server_clock(ARGV[1])
local server_ms = math.floor(server / 1000)
if not entry or entry.fence ~= tonumber(ARGV[2]) or entry.lease <= server_ms or not STEPS[entry.state].sent then
  return 0
end
local names = { unpack(KEYS, 2) }
local lease = ARGV[4] == '1' and 0 or tonumber(ARGV[5])
local refused = shut(read_gates(names), #names, server, lease)
if refused then
  return refused
end
redis.call('HSET', KEYS[1], 'state', 'sent', 'sent_ms', ARGV[3])
return 1
