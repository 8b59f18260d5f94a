-- Which accounts have records that somebody works on, or whose end is not known.
-- KEYS: leases and unknown of each account, one after the other. Answers the accounts' places, the first being 1.

local found = {}
for index = 1, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[index], KEYS[index + 1]) > 0 then
    found[#found + 1] = (index + 1) / 2
  end
end
return found
