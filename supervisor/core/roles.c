/*
 * The table. Invariant: what is not listed is for admin alone, so that a request which is added and
 * forgotten here is refused to everybody else.
 */
#include "supervisor/core/roles.h"

#include <stdio.h>

#include "supervisor/core/effects_write.h"
#include "supervisor/core/requests.h"

enum {
    OBSERVE = 1 << ROLE_OBSERVE,
    SUBMIT = 1 << ROLE_SUBMIT,
    /* Lines a second about refusals: enough to see who, not enough to fill a disk. */
    LINES = 10,
};

/* Beside admin. */
static const unsigned char allowed[] = {
    [MSG_CONNECT] = OBSERVE | SUBMIT,
    [MSG_SHOW] = OBSERVE | SUBMIT,
    [MSG_LIST] = OBSERVE | SUBMIT,
    [MSG_FETCH] = OBSERVE | SUBMIT,
    [MSG_EXPLAIN] = OBSERVE | SUBMIT,
    [MSG_PLAN] = OBSERVE | SUBMIT,
    [MSG_LOGS] = OBSERVE | SUBMIT,
    [MSG_STATS] = OBSERVE | SUBMIT,
    [MSG_SNAPSHOT] = OBSERVE | SUBMIT,
    [MSG_POOL_ORDER] = OBSERVE | SUBMIT,
    [MSG_UPLOAD] = SUBMIT,
    [MSG_RUN] = SUBMIT,
    [MSG_SUBMIT] = SUBMIT,
    [MSG_WAIT] = SUBMIT,
    [MSG_CANCEL] = SUBMIT,
    [MSG_RETRY] = SUBMIT,
};

static unsigned allowed_to(uint16_t type)
{
    return 1 << ROLE_ADMIN | (type < sizeof(allowed) ? allowed[type] : 0u);
}

bool roles_allow(enum role role, uint16_t type)
{
    return allowed_to(type) >> role & 1;
}

bool roles_allow_host(enum role role)
{
    return role == ROLE_WORKER || role == ROLE_ADMIN;
}

static bool may_log(struct engine *engine)
{
    if (engine->now - engine->refusals_since >= 1000) {
        engine->refusals_since = engine->now;
        engine->refusals = 0;
    }
    return engine->refusals++ < LINES;
}

static void log_refusal(struct engine *engine, struct synk_bytes who, enum role role,
                        const char *what)
{
    if (may_log(engine))
        order_add(engine, ORDER_LOG, "refused what=\"%s\" key=%.*s role=%s", what, (int)who.size,
                  who.size ? (const char *)who.data : "", role_name(role));
}

void roles_log(struct engine *engine, const struct input *input, const char *what)
{
    log_refusal(engine, input->text, input->role, what);
}

void roles_refuse_because(struct engine *engine, const struct request *request, const char *text)
{
    log_refusal(engine, request->who, request->role, msg_type_name(request->type));
    request_fail(engine, request, SYNK_REFUSED, 0, "%s; this key's role is '%s'", text,
                 role_name(request->role));
}

void roles_refuse(struct engine *engine, const struct request *request)
{
    char text[160];
    if (request->role == ROLE_NONE) {
        log_refusal(engine, request->who, request->role, msg_type_name(request->type));
        request_fail(engine, request, SYNK_REFUSED, 0, "this key is not allowed here any more");
        return;
    }
    snprintf(text, sizeof(text), "'%s' takes %s", msg_type_name(request->type),
             roles_allow(ROLE_OBSERVE, request->type)  ? "observe, submit or admin"
             : roles_allow(ROLE_SUBMIT, request->type) ? "submit or admin"
                                                       : "admin");
    roles_refuse_because(engine, request, text);
}
