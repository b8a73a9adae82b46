-- Forget log and state; the topic goes on in the epoch ARGV[3]. What the index says of its items, expire.lua finds out.
open()
redis.call('DEL', LOG, ITEMS, NAMES, IDS, ORDER)
redis.call('HSET', HEAD, 'epoch', fresh, 'offset', 0, 'mark', 0, 'used', now)
return {fresh, 0, 0}
