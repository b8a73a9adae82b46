-- A topic in Redis: what every script begins with.
--
-- All keys of a topic have the same hash tag, that of its shard; so has the shard's index of what is due. Whatever a script does to a topic
-- is done to the index at the same moment, in a Cluster too.
--
--   HEAD    hash    epoch, offset, mark · size, age (ms): what is kept · used, look (ms): see `open` and trim.lua
--   LOG     stream  id <offset>-<ms of the append>, field e: the entry as JSON
--   ITEMS   hash    key -> item, see `parse`
--   NAMES   zset    the keys of items that are there, all with score 0: in the order of their bytes
--   IDS     hash    id -> "<ms> <offset> <mark>" of the change that had it
--   ORDER   list    "<ms> <id>", oldest first
--   DUE     zset    of the shard: "<bytes of topic>:<topic><key>" -> when the item's time is over (ms). Always what the item says.
--   TOPICS  zset    of the shard: topic -> when trim.lua has to look at it (ms)
--
-- Users' data passes as bytes and is never decoded: Lua would make doubles of integers and arrays of empty objects. Times come from the
-- caller. Offsets are exact up to 2^53 and marks below 2^32, sums included; what is written of them must not be rounded to 14 digits.
local HEAD, LOG, ITEMS, NAMES, IDS, ORDER, DUE, TOPICS = unpack(KEYS)
local topic, now_text, fresh, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now = tonumber(now_text)
local REMEMBERED_MS, REMEMBERED = 300000, 10000
local TOUCH_MS = 60000 -- reading is noted so often
-- Where the topic stands: numbers, but `size` and `age`, which are only passed on.
local epoch, offset, mark, size, age, look
local entries = {}

local function int(number)
  return string.format('%.0f', number)
end

-- Begin the topic, if it is not there. Reading creates it too: who subscribes before the first entry stands in the epoch that it will have.
local function open()
  local head = redis.call('HMGET', HEAD, 'epoch', 'offset', 'mark', 'size', 'age', 'look', 'used')
  if head[1] then
    epoch, offset, mark, size, age, look = head[1], tonumber(head[2]), tonumber(head[3]), head[4], head[5], tonumber(head[6])
    if now - head[7] > TOUCH_MS then
      redis.pcall('HSET', HEAD, 'used', now_text) -- full memory must not keep anybody from reading
    end
    return
  end
  epoch, offset, mark, size, age, look = fresh, 0, 0, '0', '0', now + REMEMBERED_MS
  redis.call('DEL', LOG, ITEMS, NAMES, IDS, ORDER)
  redis.call('HSET', HEAD, 'epoch', fresh, 'offset', 0, 'mark', 0, 'size', 0, 'age', 0, 'look', int(look), 'used', now_text)
  redis.call('ZADD', TOPICS, int(look), topic)
end

-- An item is "<offset> <version> <expires, ms> <1: gone> <bytes of tags> <tags><data>"; 0: no version, never expires.
local function parse(raw)
  local offset, version, expires, gone, size, begin = string.match(raw, '^(%d+) (%d+) (%d+) (%d) (%d+) ()')
  local tags = string.sub(raw, begin, begin + size - 1)
  return {raw = raw, offset = tonumber(offset), version = tonumber(version), expires = tonumber(expires), gone = gone == '1', tags = tags}
end

local function find(key)
  local raw = redis.call('HGET', ITEMS, key)
  return raw and parse(raw)
end

local function member(key)
  return #topic .. ':' .. topic .. key
end

local function put(key, had, version, expires, gone, tags, data)
  redis.call('HSET', ITEMS, key, table.concat({int(offset), version, expires, gone, #tags, tags .. data}, ' '))
  if gone == '1' then
    redis.call('ZREM', NAMES, key)
  elseif not had or had.gone then
    redis.call('ZADD', NAMES, 0, key)
  end
  if expires ~= '0' then
    redis.call('ZADD', DUE, expires, member(key))
  elseif had and had.expires > 0 then
    redis.call('ZREM', DUE, member(key))
  end
end

local function forget(key, had)
  redis.call('HDEL', ITEMS, key)
  redis.call('ZREM', NAMES, key)
  if had.expires > 0 then
    redis.call('ZREM', DUE, member(key))
  end
end

-- Append to the log. `event`, `data` and `tags` are JSON; tags '': none. `had`: the item that the key has. Returns its tags now.
local function log(event, data, key, had, tags, draw)
  local former = had and had.tags or ''
  if tags == '' and event == '"remove"' then
    tags = former
  end
  local prior = mark
  offset, mark = offset + 1, (prior + draw) % 4294967296
  local number = int(offset)
  local text = string.format('{"offset":%s,"mark":%.0f,"prior":%.0f,"at_ms":%s,"event":', number, mark, prior, now_text) .. event .. ',"data":' .. data
  if key then
    text = text .. ',"key":' .. cjson.encode(key)
  end
  if tags ~= '' then
    text = text .. ',"tags":' .. tags
  end
  if former ~= '' and former ~= tags then
    text = text .. ',"was":' .. former
  end
  text = text .. '}'
  redis.call('XADD', LOG, 'MAXLEN', size, number .. '-' .. now_text, 'e', text)
  entries[#entries + 1] = text
  return tags
end

-- The removal of an item whose time is over.
local function expire(key, had, draw)
  if not had.gone then
    log('"remove"', '{"reason":"expired"}', key, had, '', draw)
  end
  forget(key, had)
end

-- Write down where the log stands, and tell the nodes. Publishing is last: what is told is true.
local function close()
  if look > now + age then
    look = now + age
    redis.call('ZADD', TOPICS, int(look), topic)
  end
  redis.call('HSET', HEAD, 'offset', int(offset), 'mark', int(mark), 'size', size, 'age', age, 'look', int(look), 'used', now_text)
  if channel ~= '' and #entries > 0 then
    redis.call('PUBLISH', channel, '["' .. epoch .. '",[' .. table.concat(entries, ',') .. ']]')
  end
end

local function forget_ids()
  while true do
    local first = redis.call('LINDEX', ORDER, 0)
    if not first then
      return
    end
    local ms, id = string.match(first, '^(%d+) (.*)$')
    if tonumber(ms) >= now - REMEMBERED_MS and redis.call('LLEN', ORDER) <= REMEMBERED then
      return
    end
    redis.call('LPOP', ORDER)
    local known = redis.call('HGET', IDS, id)
    if known and string.match(known, '^%d+') == ms then
      redis.call('HDEL', IDS, id)
    end
  end
end
