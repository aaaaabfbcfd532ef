"""What Redis does in one step. Each script has the keys of one session, or tenant, which lie in one slot of a cluster.

A record is a hash: `fence`, a number that only grows, and with it the `owner`, the one process that may write;
`tenant`, `hashes` of the tokens that open it, `state` and when (`at`) it was written down, `stop`, the position after
the last frame, and whether it is `sealed`: left to whoever comes. Frames stand in a stream beside it, each by its
position.
"""

from __future__ import annotations

from enum import IntEnum


class Refused(IntEnum):
    """What `APPEND` answers instead of the position after the last frame."""

    FENCED = -1
    """Another process has the session."""
    ANEW = -2
    """The record is not what its owner takes it for: it has to be written whole."""


# fence, first position, position to keep from, milliseconds to live, how many frames, the frames; unless these tell all
# that has changed, also state, hashes, sealed or not, whole or not, owner, tenant.
APPEND = """
local fence, first, last = tonumber(ARGV[1]), tonumber(ARGV[2]), 5 + ARGV[5]
local known = tonumber(redis.call('HGET', KEYS[1], 'fence'))
if known and known > fence then return -1 end
local stop
if ARGV[last + 4] == '1' then
  redis.call('UNLINK', KEYS[2])
  redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'owner', ARGV[last + 5], 'tenant', ARGV[last + 6], 'sealed', '0')
  stop = first
else
  stop = tonumber(redis.call('HGET', KEYS[1], 'stop'))
  if known ~= fence or not stop or first > stop then return -2 end
end
for i = 6, last do
  local position = first + i - 6
  if position >= stop then
    stop = position + 1
    redis.call('XADD', KEYS[2], string.format('%d-0', stop), 'f', ARGV[i])
  end
end
redis.call('HSET', KEYS[1], 'stop', stop)
if ARGV[last + 1] then
  local now = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'state', ARGV[last + 1], 'hashes', ARGV[last + 2], 'sealed', ARGV[last + 3])
  redis.call('HSET', KEYS[1], 'at', string.format('%d.%06d', now[1], now[2]))
end
redis.call('XTRIM', KEYS[2], 'MINID', tonumber(ARGV[3]) + 1)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return stop
"""

# hash of the token, tenant, the process that asks, milliseconds to live, and the fence of a dead owner or nothing.
CLAIM = """
local r = redis.call('HMGET', KEYS[1], 'fence', 'owner', 'tenant', 'hashes', 'sealed', 'state', 'at', 'stop')
if not r[6] or r[3] ~= ARGV[2] or not string.find(r[4], ARGV[1], 1, true) then return {'unknown'} end
if r[5] ~= '1' and r[1] ~= ARGV[5] then return {'owned', r[2], r[1]} end
local fence = redis.call('HINCRBY', KEYS[1], 'fence', 1)
redis.call('HSET', KEYS[1], 'owner', ARGV[3], 'sealed', '0')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
local now = redis.call('TIME')
local age = tonumber(string.format('%d.%06d', now[1], now[2])) - tonumber(r[7])
return {'yours', fence, r[6], r[4], string.format('%.6f', age), tonumber(r[8]), redis.call('XRANGE', KEYS[2], '-', '+')}
"""

# fence
FORGET = """
local known = tonumber(redis.call('HGET', KEYS[1], 'fence'))
if known and known <= tonumber(ARGV[1]) then redis.call('UNLINK', KEYS[1], KEYS[2]) end
return 0
"""

# What processes count together lies in a hash with a field for each of them: its count, and when that was so.
# the process, its count, milliseconds that a count is good for, and the most that all may have, or nothing. Answers how
# many the others have, or -1: then this count would be too much, and nothing is changed.
SHARE = """
local t = redis.call('TIME')
local now, others = t[1] * 1000 + math.floor(t[2] / 1000), 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if all[i] ~= ARGV[1] then
    local count, at = string.match(all[i + 1], '(%d+) (%d+)')
    if math.abs(now - at) > tonumber(ARGV[3]) then
      redis.call('HDEL', KEYS[1], all[i])
    else
      others = others + count
    end
  end
end
if ARGV[4] ~= '' and others + ARGV[2] > tonumber(ARGV[4]) then return -1 end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %.0f', ARGV[2], now))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return others
"""

# A bucket of tokens, kept as the time at which it will be full again (GCRA).
# milliseconds until there is one token more, and how many it holds. Answers 0, or the milliseconds to wait.
TAKE = """
local t = redis.call('TIME')
local now, each, room = t[1] * 1000 + t[2] / 1000, tonumber(ARGV[1]), ARGV[1] * ARGV[2]
local full = tonumber(redis.call('HGET', KEYS[1], 'full') or 0)
full = math.min(math.max(full, now), now + room)
local wait = full + each - now - room
if wait > 0 then return math.ceil(wait) end
redis.call('HSET', KEYS[1], 'full', string.format('%.3f', full + each))
redis.call('PEXPIRE', KEYS[1], math.ceil(room))
return 0
"""

ALL = (APPEND, CLAIM, FORGET, SHARE, TAKE)
