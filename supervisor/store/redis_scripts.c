/*
 * What runs inside the server, in Lua.
 *
 * Invariants: a script looks before it writes, and its first write is one that a full, demoted or
 * failing server refuses; from then on Redis refuses no write of the same script, so a batch is
 * applied wholly or not at all. What fails nevertheless (a key of another type, which somebody else
 * made) leaves the mark `broken`, with which no supervisor starts. Everything that a script writes
 * reaches the append-only file and the replicas as one transaction.
 *
 * KEYS: state, lease, stage. ARGV: the prefix of all keys, then what each says.
 */
#include "supervisor/store/redis.h"

#define TEXT_OF "local function text(n) return string.format('%.0f', n) end\n"

const char *const redis_scripts[SCRIPTS] = {
    /* owner, ms, minimum epoch, schema */
    [SCRIPT_ACQUIRE] = TEXT_OF
    "local holder = redis.call('GET', KEYS[2])\n"
    "local now = redis.call('HMGET', KEYS[1], 'epoch', 'schema', 'broken')\n"
    "if holder and holder ~= ARGV[2] then\n"
    "  return {'held', holder, now[1] or '0', text(redis.call('PTTL', KEYS[2]))}\n"
    "end\n"
    "if now[2] and tonumber(now[2]) > tonumber(ARGV[5]) then return {'newer', now[2]} end\n"
    "if now[3] then return {'broken', now[3]} end\n"
    "local epoch = math.max(tonumber(now[1] or '0') + 1, tonumber(ARGV[4]))\n"
    "redis.call('HSET', KEYS[1], 'epoch', text(epoch), 'schema', ARGV[5])\n"
    "redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])\n"
    "return {'ok', text(epoch)}\n",
    /* owner, ms, epoch */
    [SCRIPT_RENEW] = "local epoch = redis.call('HGET', KEYS[1], 'epoch') or '0'\n"
                     "local holder = redis.call('GET', KEYS[2])\n"
                     "if epoch ~= ARGV[4] or (holder and holder ~= ARGV[2]) then\n"
                     "  return {'lost', epoch, holder or ''}\n"
                     "end\n"
                     "redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])\n"
                     "return {'ok'}\n",
    /* owner, epoch */
    [SCRIPT_RELEASE] =
        "if redis.call('GET', KEYS[2]) == ARGV[2] and\n"
        "    redis.call('HGET', KEYS[1], 'epoch') == ARGV[3] then redis.call('DEL', KEYS[2]) end\n"
        "return {'ok'}\n",
    /* epoch, index, part */
    [SCRIPT_STAGE] =
        "local epoch = redis.call('HGET', KEYS[1], 'epoch') or '0'\n"
        "if epoch ~= ARGV[2] then return {'fenced', epoch} end\n"
        "if ARGV[3] == '0' then redis.call('DEL', KEYS[3]) end\n"
        "if redis.call('LLEN', KEYS[3]) ~= tonumber(ARGV[3]) then return {'unstaged'} end\n"
        "redis.call('RPUSH', KEYS[3], ARGV[4])\n"
        "return {'ok'}\n",
    /* epoch, nonce, lsn before, lsn after, number of staged parts, the part where there is one.
     * A verb that is no command of the server's is a function here. */
    [SCRIPT_APPLY] = TEXT_OF
    "local p, epoch, nonce, before, after = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]\n"
    "local parts, call = tonumber(ARGV[6]), redis.call\n"
    "local now = call('HMGET', KEYS[1], 'epoch', 'lsn', 'nonce', 'broken')\n"
    "if now[4] then return {'broken', now[4]} end\n"
    "if now[1] ~= epoch then return {'fenced', now[1] or '0', call('GET', KEYS[2]) or ''} end\n"
    "local lsn = now[2] or '0'\n"
    "if lsn == after and now[3] == nonce then return {'already'} end\n"
    "if lsn ~= before then return {'behind', lsn, now[3] or ''} end\n"
    "if parts > 0 and call('LLEN', KEYS[3]) ~= parts then return {'unstaged'} end\n"
    "call('HSET', KEYS[1], 'lsn', after, 'nonce', nonce)\n"
    "local function purge(kind, name)\n"
    "  local set = p .. kind .. ':' .. name\n"
    "  for _, one in ipairs(call('SMEMBERS', set)) do call('UNLINK', set .. ':' .. one) end\n"
    "  call('UNLINK', set, set .. ':0')\n"
    "end\n"
    "local function hide(n)\n"
    "  local run = call('HMGET', p .. 'run:' .. n, 'unit', 'worker', 'version')\n"
    "  local unit = run[1] or ''\n"
    "  local label = run[2] and unit .. '/' .. run[2] or unit\n"
    "  call('ZREM', p .. 'runs', n)\n"
    "  call('ZREM', p .. 'live', n)\n"
    "  call('ZREM', p .. 'ended', n)\n"
    "  call('ZREM', p .. 'runs:' .. unit, n)\n"
    "  call('ZREM', p .. 'numbers:' .. label, n)\n"
    "  if call('UNLINK', p .. 'run:' .. n) == 1 then\n"
    "    local version = unit .. '@' .. (run[3] or '0')\n"
    "    if call('HINCRBY', p .. 'uses', version, -1) <= 0 then\n"
    "      call('HDEL', p .. 'uses', version)\n"
    "    end\n"
    "  end\n"
    "end\n"
    "local verbs = {\n"
    "  RUN = function(o)\n" /* n, unit, label, version, number, ended at or '', fields */
    "    local n, key = o[2], p .. 'run:' .. o[2]\n"
    "    if call('UNLINK', key) == 0 then\n"
    "      call('ZADD', p .. 'runs', n, n)\n"
    "      call('ZADD', p .. 'runs:' .. o[3], n, n)\n"
    "      call('ZADD', p .. 'numbers:' .. o[4], o[6], n)\n"
    "      call('HINCRBY', p .. 'uses', o[3] .. '@' .. o[5], 1)\n"
    "      call('ZREM', p .. 'removed', n)\n"
    "    end\n"
    "    call('HSET', key, unpack(o, 8))\n"
    "    if o[7] == '' then\n"
    "      call('ZADD', p .. 'live', n, n)\n"
    "      call('ZREM', p .. 'ended', n)\n"
    "    else\n"
    "      call('ZREM', p .. 'live', n)\n"
    "      call('ZADD', p .. 'ended', o[7], n)\n"
    "    end\n"
    "  end,\n"
    "  NORUN = function(o)\n"
    "    hide(o[2]) purge('tasks', o[2]) purge('attempts', o[2])\n"
    "    call('ZREM', p .. 'removed', o[2])\n"
    "  end,\n"
    "  BADRUN = function(o) hide(o[2]) end,\n"
    "  HIDE = function(o) hide(o[2]) call('ZADD', p .. 'removed', o[2], o[2]) end,\n"
    "  SHRINK = function(o)\n" /* n, keys at most */
    "    local most = tonumber(o[3])\n"
    "    for _, kind in ipairs({'tasks', 'attempts'}) do\n"
    "      local set = p .. kind .. ':' .. o[2]\n"
    "      local some = most > 0 and call('SPOP', set, most) or {}\n"
    "      for _, one in ipairs(some) do call('UNLINK', set .. ':' .. one) end\n"
    "      most = most - #some\n"
    "    end\n"
    "    if most > 0 then\n"
    "      call('UNLINK', p .. 'tasks:' .. o[2] .. ':0')\n"
    "      call('ZREM', p .. 'removed', o[2])\n"
    "    end\n"
    "  end,\n"
    "  UNIT = function(o)\n"
    "    call('UNLINK', p .. 'unit:' .. o[2])\n"
    "    call('HSET', p .. 'unit:' .. o[2], 'id', o[2], unpack(o, 3))\n"
    "    call('SADD', p .. 'units', o[2])\n"
    "  end,\n"
    "  NOUNIT = function(o)\n"
    "    call('UNLINK', p .. 'unit:' .. o[2])\n"
    "    call('SREM', p .. 'units', o[2])\n"
    "  end,\n"
    "  NODEF = function(o) call('HDEL', p .. 'definitions', o[2]) purge('workers', o[2]) end,\n"
    "}\n"
    "local function run(part)\n"
    "  for _, op in ipairs(cmsgpack.unpack(part)) do\n"
    "    local verb = verbs[op[1]]\n"
    "    if verb then\n"
    "      verb(op)\n"
    "    else\n"
    "      op[2] = p .. op[2]\n"
    "      call(unpack(op))\n"
    "    end\n"
    "  end\n"
    "end\n"
    "local ok, problem = pcall(function()\n"
    "  if parts == 0 then run(ARGV[7]) end\n"
    "  for i = 1, parts do run(call('LINDEX', KEYS[3], i - 1)) end\n"
    "  if parts > 0 then call('UNLINK', KEYS[3]) end\n"
    "end)\n"
    "if not ok then\n"
    "  problem = type(problem) == 'table' and problem.err or tostring(problem)\n"
    "  call('HSET', KEYS[1], 'broken', problem)\n"
    "  return {'broken', problem}\n"
    "end\n"
    "return {'ok'}\n",
};
