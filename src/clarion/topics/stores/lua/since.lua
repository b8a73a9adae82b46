-- The offset of the newest entry that was appended before ARGV[5] (ms).
open()
local before = tonumber(ARGV[5])
local first = redis.call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
if not first then
  return offset
end
-- Invariant: `low` is before that time or not kept, `high` is not before it.
local low, high = tonumber(string.match(first[1], '^%d+')) - 1, offset + 1
while high - low > 1 do
  local middle = math.floor((low + high) / 2)
  local found = redis.call('XRANGE', LOG, int(middle), '+', 'COUNT', 1)[1]
  if tonumber(string.match(found[1], '%d+$')) < before then
    low = middle
  else
    high = middle
  end
end
return low
