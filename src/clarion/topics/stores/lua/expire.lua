-- Remove those of the items ARGV[5], ARGV[7] … whose time is over, each with the draw behind it: epoch, entries.
-- Who asks has read the index before: another may have removed an item since, or put off its end.
if redis.call('EXISTS', HEAD) == 0 then
  for i = 5, #ARGV, 2 do
    redis.call('ZREM', DUE, member(ARGV[i]))
  end
  return {'', {}}
end
open()
for i = 5, #ARGV, 2 do
  local item = find(ARGV[i])
  if not item or item.expires == 0 then
    redis.call('ZREM', DUE, member(ARGV[i])) -- of a topic that was cleared
  elseif item.expires <= now then
    expire(ARGV[i], item, ARGV[i + 1])
  end
end
if #entries > 0 then
  close()
end
return {epoch, entries}
