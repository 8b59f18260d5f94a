-- Writes `sent` before bytes leave, for all who leave in one request. A record whose lease ran out may be somebody
-- else's by now; and a slot that was reserved before a gate closed does not pass it, unless it is the probe that may.
-- KEYS: the gates, then the records. ARGV: time override, number of gates, probe, a probe's lease, then fence and at_ms of
-- each record. Answers 1 or 0 for each, or {'gated', place, banned, wait_us} for all.

local server, count = server_clock(ARGV[1]), tonumber(ARGV[2])
local server_ms = math.floor(server / 1000)
local lease = ARGV[3] == '1' and 0 or tonumber(ARGV[4])
local refused = shut(read_gates({ unpack(KEYS, 1, count) }), count, server, lease)
local answers = {}
for index = 1, #KEYS - count do
  local key, fence, at_ms = KEYS[count + index], ARGV[3 + 2 * index], ARGV[4 + 2 * index]
  local entry = read_record(key)
  local lawful = entry and entry.fence == tonumber(fence) and entry.lease > server_ms and STEPS[entry.state].sent
  -- A record that is gone went with the store's data: a lost note is no reason to refuse whoever waited.
  answers[index] = (lawful or not entry) and 1 or 0
  if lawful and not refused then
    redis.call('HSET', key, 'state', 'sent', 'sent_ms', at_ms)
  end
end
for index = 1, #answers do
  if refused and answers[index] == 1 then
    return refused
  end
end
return answers
