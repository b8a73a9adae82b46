-- At most ARGV[6] items with keys above ARGV[5] ('': from the first): epoch, offset, mark, 1 if more follow, key, item, key, item …
open()
local limit = tonumber(ARGV[6])
local keys = redis.call('ZRANGEBYLEX', NAMES, ARGV[5] == '' and '-' or '(' .. ARGV[5], '+', 'LIMIT', 0, limit + 1)
local found = {epoch, offset, mark, #keys > limit and 1 or 0}
for i = 1, math.min(limit, #keys) do
  found[#found + 1] = keys[i]
  found[#found + 1] = redis.call('HGET', ITEMS, keys[i])
end
return found
