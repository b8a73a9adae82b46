-- At most ARGV[6] entries from the offset ARGV[5], and the top: epoch, offset, mark, entries.
open()
local found, is_kept = {}, false
for _, each in ipairs(redis.call('XRANGE', LOG, ARGV[5], '+', 'COUNT', ARGV[6])) do
  is_kept = is_kept or tonumber(string.match(each[1], '%d+$')) >= now - age
  if is_kept then
    found[#found + 1] = each[2][2]
  end
end
return {epoch, offset, mark, found}
