-- Numbers and the server's clock, for every script.
-- All numbers are whole microseconds below 2^53; %d and tostring would spoil them, so text() writes them.

local KEYS, ARGV, call = KEYS, ARGV, redis.call
local max, min, ceil, floor = math.max, math.min, math.ceil, math.floor
local sub, format, match = string.sub, string.format, string.match

local HORIZON_US = 600000000
local JUMP_US = 250000

local function whole(value)
  if type(value) ~= 'string' or #value > 16 or not (value == '0' or match(value, '^[1-9]%d*$')) then
    return nil
  end
  local number = tonumber(value)
  return number < 9007199254740992 and number or nil
end

local function signed(value)
  local size = type(value) == 'string' and whole(match(value, '^%-(.+)$'))
  return size and -size or whole(value)
end

local function text(number)
  return format('%.0f', number)
end

-- Only tests pass a time; in production the server's own clock is the one that all replicas share.
local function server_clock(override)
  if override ~= '' then
    return tonumber(override)
  end
  local time = call('TIME')
  return time[1] * 1000000 + time[2]
end
