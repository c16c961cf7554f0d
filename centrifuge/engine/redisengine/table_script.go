package redisengine

// KEYS of both scripts: hash with the epoch (e) and the version (v) of the table, hash of the
// values, sorted set of the keys by the version of their last change, sorted set of the keys
// that expire by the time. A deleted entry has an empty value, which expires.

// luaTableExpire removes entries that have expired, and returns the time in milliseconds.
// Copies of the entries expire by themselves.
const luaTableExpire = `
local function expire(values, log, expiry)
  local time = redis.call('time')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  for _, key in ipairs(redis.call('zrangebyscore', expiry, '-inf', now, 'LIMIT', 0, 100)) do
    redis.call('hdel', values, key)
    redis.call('zrem', log, key)
    redis.call('zrem', expiry, key)
  end
  return now
end`

// luaTableSet writes an entry. ARGV: a new epoch, key, value, TTL in milliseconds or 0, 1 to
// write only what is absent.
const luaTableSet = `
local meta, values, log, expiry = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local key, value, ttl = ARGV[2], ARGV[3], ARGV[4]
local now = expire(values, log, expiry)
if redis.call('hsetnx', meta, 'e', ARGV[1]) == 1 then redis.call('del', values, log, expiry) end
if ARGV[5] == '1' and redis.call('hexists', values, key) == 1 then return 0 end
if value == '' and redis.call('hexists', values, key) == 0 then return 0 end
local version = redis.call('hincrby', meta, 'v', 1)
redis.call('hset', values, key, value)
redis.call('zadd', log, version, key)
if ttl == '0' then redis.call('zrem', expiry, key) else redis.call('zadd', expiry, now + ttl, key) end
return 1`

// luaTableChanges reads the log. ARGV: a new epoch, epoch and version of a position, limit.
// The result is the position, then keys and values. A version above that of the table was lost
// with a server: what followed it is not known, so a new epoch begins. So it does if a key is
// gone, which a server may evict when its memory is full; what is left is not used.
const luaTableChanges = `
local meta, values, log, expiry = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local epoch, version = redis.call('hget', meta, 'e'), redis.call('hget', meta, 'v') or '0'
local since = ARGV[3]
local size = redis.call('zcard', log)
if not epoch or size ~= redis.call('hlen', values) or (size == 0 and version ~= '0') then
  redis.call('del', meta, values, log, expiry)
  epoch, version = nil, '0'
end
if not epoch or (epoch == ARGV[2] and tonumber(since) > tonumber(version)) then
  epoch = ARGV[1]
  redis.call('hset', meta, 'e', epoch)
end
if epoch ~= ARGV[2] then since = '0' end
if since == version then return {epoch, version} end
expire(values, log, expiry)
local changed = redis.call('zrangebyscore', log, '(' .. since, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[4])
local result = {epoch, version}
if #changed == 2 * tonumber(ARGV[4]) then result[2] = changed[#changed] end
for i = 1, #changed, 2 do
  result[#result + 1] = changed[i]
  result[#result + 1] = redis.call('hget', values, changed[i]) or ''
end
return result`

var (
	tableSet     = newScript(luaTableExpire, luaTableSet)
	tableChanges = newScript(luaTableExpire, luaTableChanges)
)
