-- Gives a record back that was taken over and could not be settled: it is looked at again after a pause, or, with no
-- pause, never by ourselves. Nobody else looks before the rest is over. KEYS: record, unknown, leases.
-- ARGV: time override, fence, pause_ms ('' for never), rest_ms, steps, channel. Answers 1, or 0 where it is not ours.

local RECORD, UNKNOWN, LEASES = KEYS[1], KEYS[2], KEYS[3]
local entry = read_record(RECORD)
if not entry or entry.fence ~= tonumber(ARGV[2]) then
  return 0
end
local server_ms = math.floor(server_clock(ARGV[1]) / 1000)
redis.call('HSET', RECORD, 'lease_until_ms', text(server_ms + tonumber(ARGV[4])), 'steps', ARGV[5])
local ulid = string.match(RECORD, '[^:]+$')
redis.call('ZREM', UNKNOWN, ulid)
redis.call('ZREM', LEASES, ulid)
if entry.state == 'unknown' and ARGV[3] ~= '' then
  redis.call('ZADD', UNKNOWN, text(server_ms + tonumber(ARGV[3])), ulid)
elseif UNNOTED[entry.state] and ARGV[3] ~= '' then
  redis.call('ZADD', LEASES, text(LAST + server_ms + tonumber(ARGV[3])), ulid)
end
announce(entry, ARGV[6])
return 1
