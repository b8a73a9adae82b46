-- At most ARGV[6] items with keys above ARGV[5] ('': from the first), none once there are ARGV[7] bytes:
-- epoch, offset, mark, 1 if more follow, key, item, key, item …
open()
local limit, most = tonumber(ARGV[6]), tonumber(ARGV[7])
local keys = redis.call('ZRANGEBYLEX', NAMES, ARGV[5] == '' and '-' or '(' .. ARGV[5], '+', 'LIMIT', 0, limit + 1)
local found, size, at = {epoch, offset, mark, 0}, 0, 0
while at < limit and at < #keys and size < most do
  at = at + 1
  local item = redis.call('HGET', ITEMS, keys[at])
  size = size + #item
  found[#found + 1] = keys[at]
  found[#found + 1] = item
end
found[4] = at < #keys and 1 or 0
return found
