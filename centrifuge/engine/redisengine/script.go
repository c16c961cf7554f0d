package redisengine

import (
	"context"
	"crypto/sha1" //nolint:gosec // the server names scripts by it
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
)

// script is a Lua program that the server executes atomically.
type script struct{ text, sha1 string }

func newScript(parts ...string) *script {
	text := strings.Join(parts, "\n")
	sum := sha1.Sum([]byte(text)) //nolint:gosec // the server names scripts by it
	return &script{text, hex.EncodeToString(sum[:])}
}

// exec executes s with one round trip, or with two if the server does not know it yet.
func (s *script) exec(ctx context.Context, c rueidis.Client, keys, args []string) rueidis.RedisResult {
	n := int64(len(keys))
	result := c.Do(ctx, c.B().Evalsha().Sha1(s.sha1).Numkeys(n).Key(keys...).Arg(args...).Build())
	if e, ok := rueidis.IsRedisErr(result.Error()); ok && e.IsNoScript() {
		return c.Do(ctx, c.B().Eval().Script(s.text).Numkeys(n).Key(keys...).Arg(args...).Build())
	}
	return result
}

// The outcomes of a publish script, its third result.
const (
	outcomePublished = iota
	outcomeRepeated
	outcomeOldVersion
)

// luaEmit sends a message to all nodes, by PUB/SUB or through a bus stream of about size
// entries.
const luaEmit = `
local function emit(command, topic, payload, bus, size)
  if bus == '' then
    redis.call(command, topic, payload)
  else
    redis.call('xadd', bus, 'MAXLEN', '~', size, '*', 'c', topic, 'd', payload)
  end
end`

// luaResult looks for the result of an earlier publish with the same idempotency key, and
// luaSave saves the one of this.
const luaResult = `
local function saved(key)
  local r = redis.call('hmget', key, 'e', 's')
  if r[1] or r[2] then return {r[2] or '0', r[1] or '', 1} end
end
local function save(key, epoch, offset, ttl)
  redis.call('hset', key, 'e', epoch, 's', offset)
  redis.call('pexpire', key, ttl)
end`

// luaMeta finds or makes the metadata of a channel. The state is lost if there is none, or
// if its offset is below one that a node has seen in the same epoch, or was below it when
// this run of the server began (fields r and b), and it was seen in another run. What is left
// of the history must not be read then, and a new epoch begins.
//
// A server whose memory is full refuses the first write of a script if it may take memory, and
// no write after it. The first write of position is one that may, and the caller prolongs the
// metadata: after it where a publication must be refused, before it where reading must not.
const luaMeta = `
local function position(meta, history, new, ttl, seen_epoch, seen_offset, seen_run, run)
  local m = redis.call('hmget', meta, 'e', 's', 'v', 've', 'r', 'b')
  local epoch, offset, begun = m[1], m[2] or '0', m[6]
  if run ~= '' and m[5] ~= run then
    begun = offset
    if epoch then redis.call('hset', meta, 'r', run, 'b', begun) end
  end
  local lost = not epoch
  if epoch and epoch == seen_epoch then
    lost = tonumber(offset) < tonumber(seen_offset)
    if run ~= '' and seen_run ~= '' and seen_run ~= run and tonumber(seen_offset) > tonumber(begun) then lost = true end
  end
  if lost then
    redis.call('hset', meta, 'e', new)
    redis.call('del', meta, history)
    redis.call('hset', meta, 'e', new)
    if run ~= '' then redis.call('hset', meta, 'r', run, 'b', '0') end
    redis.call('pexpire', meta, ttl)
    return new, '0', false, false
  end
  return epoch, offset, m[3], m[4]
end`

// luaVersion compares decimal numbers, which may be too large for Lua, and tells whether
// a version is suppressed (server.md 1.6).
const luaVersion = `
local function at_most(a, b)
  if #a ~= #b then return #a < #b end
  return a <= b
end
local function suppressed(version, epoch, stored, stored_epoch)
  return version ~= '0' and stored and at_most(version, stored) and (epoch == '' or epoch == (stored_epoch or ''))
end`

// luaStream and luaList append to the two kinds of history. Both return the publication
// that was the last one before, if it was at the offset before. A stream that holds later
// entries is left over from lost state.
const (
	luaStream = `
local function last(history, before)
  local e = redis.call('xrevrange', history, '+', '-', 'COUNT', 1)[1]
  if e and e[1] == before .. '-0' then return e[2][2] end
end
local function append(history, offset, epoch, payload, size)
  if offset == '1' then redis.call('del', history) end
  local added = redis.pcall('xadd', history, 'MAXLEN', size, offset .. '-0', 'd', payload)
  if type(added) == 'table' and added.err then
    redis.call('del', history)
    redis.call('xadd', history, 'MAXLEN', size, offset .. '-0', 'd', payload)
  end
end`
	luaList = `
local function last(history, before)
  local e = redis.call('lindex', history, 0)
  local head = '__p1:' .. before .. ':'
  if e and string.sub(e, 1, #head) == head then
    local _, stop = string.find(e, '__', #head, true)
    return string.sub(e, stop + 1)
  end
end
local function append(history, offset, epoch, payload, size)
  if offset == '1' then redis.call('del', history) end
  redis.call('lpush', history, '__p1:' .. offset .. ':' .. epoch .. '__' .. payload)
  redis.call('ltrim', history, 0, size - 1)
end`
)

// luaPublish publishes with history. KEYS: metadata, history, and the result if there is
// an idempotency key. ARGV: see publishArgs.
const luaPublish = `
local meta, history, result = KEYS[1], KEYS[2], KEYS[3]
local payload, size, ttl, meta_ttl, new = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local command, channel, delta = ARGV[6], ARGV[7], ARGV[8]
local version, version_epoch, result_ttl = ARGV[9], ARGV[10], ARGV[11]
local before = result and saved(result)
if before then return before end
local epoch, top, v, ve = position(meta, history, new, meta_ttl, ARGV[12], ARGV[13], ARGV[16], ARGV[17])
if suppressed(version, version_epoch, v, ve) then
  redis.call('pexpire', meta, meta_ttl)
  return {top, epoch, 2}
end
local offset = string.format('%.0f', redis.call('hincrby', meta, 's', 1))
redis.call('pexpire', meta, meta_ttl)
local prev = delta == '1' and last(history, top)
append(history, offset, epoch, payload, size)
redis.call('pexpire', history, ttl)
if version ~= '0' then redis.call('hset', meta, 'v', version, 've', version_epoch) end
if result then save(result, epoch, offset, result_ttl) end
if delta == '1' then
  prev = prev or ''
  payload = '__d1:' .. offset .. ':' .. epoch .. ':' .. #prev .. ':' .. prev .. ':' .. #payload .. ':' .. payload
else
  payload = '__p1:' .. offset .. ':' .. epoch .. '__' .. payload
end
emit(command, channel, payload, ARGV[14], ARGV[15])
return {offset, epoch, 0}`

// luaPublishOnce publishes without history, once for an idempotency key. KEYS: the result.
// ARGV: payload, command, channel, TTL of the result in milliseconds, bus stream, its size.
const luaPublishOnce = `
local before = saved(KEYS[1])
if before then return before end
save(KEYS[1], '', '0', ARGV[4])
emit(ARGV[2], ARGV[3], ARGV[1], ARGV[5], ARGV[6])
return {'0', '', 0}`

// luaReadStream and luaReadList read history. KEYS: metadata, history. ARGV: a new epoch,
// TTL of the metadata in milliseconds, the epoch, offset and run that the node has seen, limit
// (0 for none, below 0 for all), 1 to read the newest first, the epoch of the position to
// read from or nothing, the first offset and the last one, or nothing, the server's run.
const (
	luaReadStream = `
local meta, history = KEYS[1], KEYS[2]
local limit, reverse, since, first, final = tonumber(ARGV[6]), ARGV[7] == '1', ARGV[8], ARGV[9], ARGV[10]
redis.call('pexpire', meta, ARGV[2])
local epoch, top = position(meta, history, ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[11])
if limit == 0 or top == '0' or (since ~= '' and since ~= epoch) then return {top, epoch, {}} end
if final == '' or tonumber(final) > tonumber(top) then final = top end
local count = limit < 0 and {} or {'COUNT', limit}
if reverse then return {top, epoch, redis.call('xrevrange', history, final, first, unpack(count))} end
return {top, epoch, redis.call('xrange', history, first, final, unpack(count))}`
	luaReadList = `
local meta, history = KEYS[1], KEYS[2]
redis.call('pexpire', meta, ARGV[2])
local epoch, top = position(meta, history, ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[11])
if ARGV[6] == '0' or top == '0' or (ARGV[8] ~= '' and ARGV[8] ~= epoch) then return {top, epoch, {}} end
return {top, epoch, redis.call('lrange', history, 0, -1)}`
)

// historyScripts are the scripts for one kind of history.
type historyScripts struct{ publish, read *script }

var (
	streamScripts = historyScripts{
		newScript(luaEmit, luaResult, luaMeta, luaVersion, luaStream, luaPublish), newScript(luaMeta, luaReadStream),
	}
	listScripts = historyScripts{
		newScript(luaEmit, luaResult, luaMeta, luaVersion, luaList, luaPublish), newScript(luaMeta, luaReadList),
	}
	publishOnce = newScript(luaEmit, luaResult, luaPublishOnce)
	// publishThere publishes through the server of a key. KEYS: any key of the channel.
	// ARGV: payload, channel.
	publishThere = newScript(`redis.call('publish', ARGV[2], ARGV[1]) return 1`)
)

func decimal[T ~int | ~int64](n T) string { return strconv.FormatInt(int64(n), 10) }
func unsignedDecimal(n uint64) string     { return strconv.FormatUint(n, 10) }
