package redisengine

// presenceScripts are the scripts of one way to expire entries. KEYS: data by client,
// expiry by client, number of clients by user, expiry by user. ARGV: 1 to map users, TTL in
// milliseconds; then the client for add and remove, its info for add, and its user.
type presenceScripts struct{ add, remove, list, stats *script }

// luaClock has the server's time in seconds. Scores are seconds, with a fraction.
const luaClock = `
local data, expire, users, user_expire = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local mapping, ttl = ARGV[1] == '1', tonumber(ARGV[2])
local clock = redis.call('time')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local function score(seconds) return string.format('%.3f', seconds) end`

// luaLimit limits expiries to the TTL from now on. An expiry is later only if the clock was
// ahead when it was written, and has been set back since, or if it is of a node with a longer
// TTL. A call limits at most so many that it does not keep the server from others for long. A
// server whose memory is full may refuse to.
const luaLimit = `
local function limit_one(set)
  local last = score(now + ttl / 1000)
  local late = redis.call('zrangebyscore', set, '(' .. last, '+inf', 'LIMIT', 0, 1000)
  if #late == 0 then return end
  local scored = {}
  for i, member in ipairs(late) do scored[2 * i - 1], scored[2 * i] = last, member end
  redis.pcall('zadd', set, unpack(scored))
end
local function limit()
  limit_one(expire)
  if mapping then limit_one(user_expire) end
end`

// luaUserOf reads the user of an encoded info, which is its first field; nothing if that
// is the empty user or the info is encoded in another order.
const luaUserOf = `
local function user_of(info)
  if string.byte(info, 1) ~= 10 then return '' end
  local length, shift, at = 0, 1, 2
  repeat
    local b = string.byte(info, at)
    if not b or shift > 2097152 then return '' end
    length, shift, at = length + (b % 128) * shift, shift * 128, at + 1
  until b < 128
  return string.sub(info, at, at + length - 1)
end
local function leave(user)
  if redis.call('hincrby', users, user, -1) <= 0 then
    redis.call('hdel', users, user)
    redis.call('zrem', user_expire, user)
  end
end`

// luaPrune removes the entries that have expired, the oldest ones first. A call removes at
// most so many that it does not keep the server from others for long.
const luaPrune = `
local gone = redis.call('zrangebyscore', expire, '-inf', score(now), 'LIMIT', 0, 1000)
if #gone > 0 then
  if mapping then
    for _, info in ipairs(redis.call('hmget', data, unpack(gone))) do
      if info then leave(user_of(info)) end
    end
    local idle = redis.call('zrangebyscore', user_expire, '-inf', score(now), 'LIMIT', 0, 1000)
    if #idle > 0 then
      redis.call('hdel', users, unpack(idle))
      redis.call('zrem', user_expire, unpack(idle))
    end
  end
  redis.call('hdel', data, unpack(gone))
  redis.call('zrem', expire, unpack(gone))
end`

// A renewal, which is frequent, limits nothing.
const luaAddPresence = `
local client, info, user = ARGV[3], ARGV[4], ARGV[5]
local new = redis.call('hset', data, client, info) == 1
if new then limit() end
redis.call('zadd', expire, score(now + ttl / 1000), client)
redis.call('pexpire', data, ttl)
redis.call('pexpire', expire, ttl)
if mapping then
  if new or redis.call('hexists', users, user) == 0 then redis.call('hincrby', users, user, 1) end
  redis.call('zadd', user_expire, score(now + ttl / 1000), user)
  redis.call('pexpire', users, ttl)
  redis.call('pexpire', user_expire, ttl)
end`

const luaRemovePresence = `
local client, user = ARGV[3], ARGV[4]
if redis.call('hdel', data, client) == 1 and mapping then leave(user) end
redis.call('zrem', expire, client)
limit()`

// An entry without an expiry, or the reverse, is left over from an eviction.
const luaListPresence = `
limit()
local list = {}
local present = redis.call('zrangebyscore', expire, '(' .. score(now), '+inf')
for from = 1, #present, 1000 do
  local to = math.min(from + 999, #present)
  local infos = redis.call('hmget', data, unpack(present, from, to))
  for i = from, to do
    if infos[i - from + 1] then
      list[#list + 1] = present[i]
      list[#list + 1] = infos[i - from + 1]
    end
  end
end
return list`

const luaCountPresence = `
limit()
return {redis.call('zcount', expire, '(' .. score(now), '+inf'), redis.call('zcount', user_expire, '(' .. score(now), '+inf')}`

var sortedSetScripts = presenceScripts{
	add:    newScript(luaClock, luaLimit, luaUserOf, luaPrune, luaAddPresence),
	remove: newScript(luaClock, luaLimit, luaUserOf, luaPrune, luaRemovePresence),
	list:   newScript(luaClock, luaLimit, luaListPresence),
	stats:  newScript(luaClock, luaLimit, luaCountPresence),
}

// With the time to live of fields there are no sorted sets. The number of clients of a user
// is not reduced when they expire, but it expires with the last of them.
const luaAddWithFieldTTL = `
local data, users, ttl, client, info, user = KEYS[1], KEYS[3], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local new = redis.call('hset', data, client, info) == 1
redis.call('hpexpire', data, ttl, 'FIELDS', 1, client)
redis.call('pexpire', data, ttl)
if ARGV[1] == '1' then
  if new or redis.call('hexists', users, user) == 0 then redis.call('hincrby', users, user, 1) end
  redis.call('hpexpire', users, ttl, 'FIELDS', 1, user)
  redis.call('pexpire', users, ttl)
end`

const luaRemoveWithFieldTTL = `
local data, users, client, user = KEYS[1], KEYS[3], ARGV[3], ARGV[4]
if redis.call('hdel', data, client) == 1 and ARGV[1] == '1' then
  if redis.call('hincrby', users, user, -1) <= 0 then redis.call('hdel', users, user) end
end`

var fieldTTLScripts = presenceScripts{
	add:    newScript(luaAddWithFieldTTL),
	remove: newScript(luaRemoveWithFieldTTL),
	list:   newScript(`return redis.call('hgetall', KEYS[1])`),
	stats:  newScript(`return {redis.call('hlen', KEYS[1]), redis.call('hlen', KEYS[3])}`),
}
