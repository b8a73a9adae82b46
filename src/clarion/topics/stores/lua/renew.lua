-- Let the items ARGV[6…] expire at ARGV[5] (ms), if they expire at all; returns how many do.
local count = 0
for i = 6, #ARGV do
  local item = find(ARGV[i])
  if item and not item.gone and item.expires > 0 then
    local before, after = string.match(item.raw, '^(%d+ %d+ )%d+( .*)$')
    redis.call('HSET', ITEMS, ARGV[i], before .. ARGV[5] .. after)
    redis.call('ZADD', DUE, ARGV[5], member(ARGV[i]))
    count = count + 1
  end
end
return count
