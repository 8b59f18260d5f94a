-- The oldest records whose end is not known, of the thousand that are due first: whoever looks must not hold the server
-- up. KEYS: unknown. ARGV: what keys of records begin with, the most.
-- Answers {how many there are, then ULID and reference of each, one after the other}; a ULID begins with its time.

local ulids = redis.call('ZRANGE', KEYS[1], 0, 999)
table.sort(ulids)
local told = { redis.call('ZCARD', KEYS[1]) }
for index = 1, math.min(#ulids, tonumber(ARGV[2])) do
  local ref = redis.pcall('HGET', ARGV[1] .. ulids[index], 'ref')
  told[#told + 1] = ulids[index]
  told[#told + 1] = type(ref) == 'string' and ref or ''
end
return told
