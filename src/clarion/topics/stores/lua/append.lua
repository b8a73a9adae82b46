-- Changes of a topic, all at one moment.
-- ARGV from 5: size, age (ms), keys · of each change: its numbers "<draw> <draw of a removal> <guard> <its value> <version> <expires, ms>
-- <has a key>", key, id, event, data, tags, the item's value where that is not the data, or ''.
-- Returns epoch, offset, mark, entries, outcomes; {'keys'} if the state would have too many. Of a change: offset, mark, what became of it
-- (0 made, 1 duplicate, 2 guard), the item that it met or ''.
local FIRST, FIELDS = 8, 7
local most = tonumber(ARGV[7])
local outcomes, has_ids = {}, false

local function is_too_much()
  local wanted = redis.call('HLEN', ITEMS)
  if wanted + (#ARGV - FIRST + 1) / FIELDS <= most then
    return false
  end
  local before, new = wanted, {}
  for i = FIRST, #ARGV, FIELDS do
    local key = ARGV[i + 1]
    if string.sub(ARGV[i], -1) == '1' and ARGV[i + 3] ~= '"remove"' and not new[key] then
      if redis.call('HEXISTS', ITEMS, key) == 0 then
        new[key], wanted = true, wanted + 1
      end
    end
  end
  return wanted > before and wanted > most
end

local function known(id)
  local found = redis.call('HGET', IDS, id)
  if not found then
    return nil
  end
  local ms, its_offset, its_mark = string.match(found, '^(%d+) (%d+) (%d+)$')
  if tonumber(ms) >= now - REMEMBERED_MS then
    return {tonumber(its_offset), tonumber(its_mark), 1, ''}
  end
end

local function holds(guard, value, item)
  local is_there = item and not item.gone
  if guard == 'none' then
    return true
  elseif guard == 'absent' then
    return not is_there
  elseif guard == 'present' then
    return is_there
  elseif guard == 'at' then
    return is_there and item.offset == value
  end
  return not item or item.version < value
end

local function make(numbers, key, id, event, data, tags, whole)
  local draw, removal_draw, guard, value, version, expires, has_key = string.match(numbers, '^(%d+) (%d+) (%a+) (%d+) (%d+) (%d+) (%d)$')
  local duplicate = id ~= '' and known(id)
  if duplicate then
    return duplicate
  end
  local item
  if has_key == '1' then
    item = find(key)
    if item and item.expires > 0 and item.expires <= now then
      expire(key, item, removal_draw)
      item = nil
    end
  else
    key = nil
  end
  if not holds(guard, tonumber(value), item) then
    return {offset, mark, 2, item and not item.gone and item.raw or ''}
  end
  tags = log(event, data, key, item, tags, draw)
  if key and event ~= '"remove"' then
    put(key, item, version, expires, '0', tags, whole ~= '' and whole or data)
  elseif key and version ~= '0' then
    -- Its version outlives it, so that late writes are known as such.
    put(key, item, version, int(now + age), '1', '', 'null')
  elseif key and item then
    forget(key, item)
  end
  if id ~= '' then
    has_ids = true
    redis.call('HSET', IDS, id, now_text .. ' ' .. int(offset) .. ' ' .. int(mark))
    redis.call('RPUSH', ORDER, now_text .. ' ' .. id)
  end
  return {offset, mark, 0, item and item.raw or ''}
end

open()
if is_too_much() then
  return {'keys'}
end
size, age = ARGV[5], ARGV[6]
for i = FIRST, #ARGV, FIELDS do
  outcomes[#outcomes + 1] = make(unpack(ARGV, i, i + FIELDS - 1))
end
if has_ids then
  forget_ids()
end
if #entries > 0 then
  close()
end
return {epoch, offset, mark, entries, outcomes}
