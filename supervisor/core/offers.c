/* What hosts offer, by name. Asked when something is wrong or applied, never when work is handed
 * out: dispatch has its own table. A host counts from its hello on. */
#include "supervisor/core/offers.h"

#include "proto/nearest.h"

bool offers_any(const struct engine *engine, struct synk_bytes function, bool *ret_any_host)
{
    *ret_any_host = false;
    for (size_t h = 0; h < engine->host_count; h++) {
        const struct host *host = engine->hosts[h];
        if (!host || !host->connected)
            continue;
        *ret_any_host = true;
        for (uint32_t i = 0; i < host->function_count; i++)
            if (bytes_equal(bytes_str(host->functions[i]), function))
                return true;
    }
    return false;
}

static bool append_refusal(const struct engine *engine, struct synk_bytes plugin, struct buf *out)
{
    for (size_t h = 0; h < engine->host_count; h++) {
        const struct host *host = engine->hosts[h];
        for (uint32_t i = 0; host && host->connected && i < host->refused_count; i++) {
            if (!bytes_equal(bytes_str(host->refused[i].name), plugin))
                continue;
            buf_printf(out, ": plugin '%s' was refused by host '%s': %s", host->refused[i].name,
                       host->name, host->refused[i].reason);
            return true;
        }
    }
    return false;
}

/* Whether a host that is there has any function of the plugin. */
static bool is_loaded(const struct engine *engine, struct synk_bytes plugin)
{
    for (size_t h = 0; h < engine->host_count; h++) {
        const struct host *host = engine->hosts[h];
        for (uint32_t i = 0; host && host->connected && i < host->function_count; i++) {
            const char *function = host->functions[i];
            if (strcspn(function, ".") == plugin.size &&
                memcmp(function, plugin.data, plugin.size) == 0)
                return true;
        }
    }
    return false;
}

/* A directory that was refused may be where the plugin is: its name has a slash, as no plugin's. */
static bool append_refused_directory(const struct engine *engine, struct buf *out)
{
    for (size_t h = 0; h < engine->host_count; h++) {
        const struct host *host = engine->hosts[h];
        for (uint32_t i = 0; host && host->connected && i < host->refused_count; i++) {
            if (!strchr(host->refused[i].name, '/'))
                continue;
            buf_printf(out, ": host '%s' refused the plugin directory %s", host->name,
                       host->refused[i].reason);
            return true;
        }
    }
    return false;
}

void offers_append_reason(const struct engine *engine, struct synk_bytes function, struct buf *out)
{
    const char *dot = function.size ? memchr(function.data, '.', function.size) : NULL;
    size_t size = dot ? (size_t)(dot - (const char *)function.data) : function.size;
    struct synk_bytes plugin = bytes_of(function.data, size);
    if (append_refusal(engine, plugin, out))
        return;
    if (dot && !is_loaded(engine, plugin) && append_refused_directory(engine, out))
        return;
    struct nearest nearest = nearest_of(function);
    for (size_t h = 0; h < engine->host_count; h++) {
        const struct host *host = engine->hosts[h];
        for (uint32_t i = 0; host && host->connected && i < host->function_count; i++)
            nearest_try(&nearest, bytes_str(host->functions[i]));
    }
    if (nearest.found.size)
        buf_printf(out, " (did you mean '%.*s'?)", (int)nearest.found.size,
                   (const char *)nearest.found.data);
}
