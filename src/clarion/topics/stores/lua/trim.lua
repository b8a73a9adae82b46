-- Forget entries that are too old, at most ARGV[5] or so, and the topic if it is empty and nobody has used it for that time. Returns how
-- many entries went, and sets the time of the next look.
local PIECE = 100
if redis.call('EXISTS', HEAD) == 0 then
  redis.call('DEL', LOG, ITEMS, NAMES, IDS, ORDER)
  redis.call('ZREM', TOPICS, topic)
  return 0
end
local head = redis.call('HMGET', HEAD, 'age', 'used')
local age, used = tonumber(head[1]), tonumber(head[2])
local count, most, look = 0, tonumber(ARGV[5]), nil
while not look and count < most do
  local piece = redis.call('XRANGE', LOG, '-', '+', 'COUNT', PIECE)
  local kept
  for _, each in ipairs(piece) do
    local ms = tonumber(string.match(each[1], '%d+$'))
    if ms >= now - age then
      kept, look = each[1], ms + age + 1
      break
    end
    count = count + 1
  end
  if kept then
    redis.call('XTRIM', LOG, 'MINID', kept)
  elseif #piece < PIECE then
    redis.call('DEL', LOG)
    break
  else
    redis.call('XTRIM', LOG, 'MINID', int(string.match(piece[#piece][1], '^%d+') + 1))
  end
end
forget_ids()
if not look and count < most then
  local idle = math.max(age, REMEMBERED_MS)
  if now - used <= idle then
    look = used + idle + 1
  elseif redis.call('EXISTS', ITEMS) == 1 then
    look = now + idle
  else
    redis.call('DEL', HEAD, LOG, NAMES, IDS, ORDER)
    redis.call('ZREM', TOPICS, topic)
    return count
  end
end
look = look or now
redis.call('HSET', HEAD, 'look', look)
redis.call('ZADD', TOPICS, look, topic)
return count
