-- Writes `sent` before bytes leave. A record whose lease ran out may be somebody else's by now.
-- KEYS: record. ARGV: time override, fence, at_ms. Answers 1 or 0.

local entry = read_record(KEYS[1])
local server_ms = math.floor(server_clock(ARGV[1]) / 1000)
if not entry or entry.fence ~= tonumber(ARGV[2]) or entry.lease <= server_ms or not STEPS[entry.state].sent then
  return 0
end
redis.call('HSET', KEYS[1], 'state', 'sent', 'sent_ms', ARGV[3])
return 1
