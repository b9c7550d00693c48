/*
 * Slots: which runner has which attempts, and how an attempt is brought to its end. Invariants: a
 * slot's list holds its runner's unfinished tasks in the order of its ring, and only the first can
 * have begun; a slot that is not ready has none; an attempt that was asked to end is reported when
 * its runner says so or is dead, never before.
 */
#include "worker-host/host_internal.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    /* Tasks given ahead are worth this much time: a few times what a runner with more to do waits
     * before it tells of results (SOON_NS in runner.c). */
    AHEAD_US = 12000,
    /* A slot without news for longer than this, which is longer than that wait, holds back what is
     * behind its task: it goes elsewhere. */
    LONG_MS = 6,
    /* How often SIGKILL is repeated, for a process group that grew meanwhile. */
    KILL_AGAIN_MS = 1000,
};

static bool is_exec(const struct host_attempt *attempt)
{
    return attempt->spec && bytes_equal(attempt->spec->function, bytes_str("exec"));
}

static void forget_task(struct slot *slot)
{
    slot->started_ms = slot->started_at = slot->life_ms = 0;
    slot->told_started = slot->has_progress = false;
    slot->ending = ENDING_NOT;
}

static struct host_attempt *pop_first(struct slot *slot)
{
    struct host_attempt *attempt = slot->given.first;
    attempt_list_remove(&slot->given, attempt);
    slot->bytes -= attempt->bytes;
    return attempt;
}

static void end_at(struct host *host, uint32_t index, enum host_end how, int64_t now_ms,
                   struct host_effects *effects)
{
    host->slots[index].how = how;
    host->slots[index].ending_ms = now_ms;
    struct host_effect *effect = effect_add(effects, HOST_END);
    effect->slot = index;
    effect->how = how;
}

void slot_end(struct host *host, uint32_t index, enum ending ending, int64_t now_ms,
              struct host_effects *effects)
{
    struct slot *slot = &host->slots[index];
    if (!slot->given.first || slot->ending != ENDING_NOT)
        return;
    slot->ending = ending;
    end_at(host, index, END_ASK, now_ms, effects);
}

/* An attempt that did not begin leaves its slot: to its canceller, the supervisor, or the queue. */
static void give_back(struct host *host, struct host_attempt *attempt, int64_t now_ms)
{
    attempt->state = ATTEMPT_QUEUED;
    if (attempt->mark == MARK_CANCEL) {
        char text[REASON_BYTES + 16];
        snprintf(text, sizeof(text), "cancelled: %s", attempt->reason);
        struct msg_report report = {.outcome = OUTCOME_CANCELLED,
                                    .exit_status = -1,
                                    .user_us = -1,
                                    .system_us = -1,
                                    .max_rss_kib = -1,
                                    .error = bytes_str(attempt->reason[0] ? text : "cancelled")};
        attempt_report(host, attempt, &report, now_ms);
    } else if (attempt->mark == MARK_RECALL || host->draining) {
        struct msg_attempt notice = {
            .id = attempt->id,
            .reason = bytes_str(attempt->mark == MARK_RECALL ? "recalled" : "draining")};
        notice_add(host, &notice);
        attempt_drop(host, attempt);
    } else {
        attempt_list_prepend(&host->queue, attempt);
    }
}

static void reclaimed(struct host *host, const struct host_input *input,
                      struct host_effects *effects)
{
    struct slot *slot = &host->slots[input->slot];
    for (uint32_t left = input->count; left && slot->given.last; left--) {
        struct host_attempt *attempt = slot->given.last;
        attempt_list_remove(&slot->given, attempt);
        slot->bytes -= attempt->bytes;
        give_back(host, attempt, input->now_ms);
    }
    notices_send(host, MSG_REJECT, effects);
    struct host_attempt *first = slot->given.first;
    if (!first)
        forget_task(slot);
    if (first && first->mark == MARK_CANCEL)
        slot_end(host, input->slot, ENDING_CANCEL, input->now_ms, effects);
    if (first && first->mark == MARK_RECALL)
        first->mark = MARK_NONE;
}

/* The outcome and the text of an attempt that was made to end. */
static void tell_ending(const struct slot *slot, const struct host_attempt *attempt,
                        struct msg_report *report, char *text, size_t text_size)
{
    report->outcome = slot->ending == ENDING_CANCEL ? OUTCOME_CANCELLED : OUTCOME_TIMED_OUT;
    report->result = bytes_of(NULL, 0);
    if (slot->ending == ENDING_TIMEOUT)
        snprintf(text, text_size, "timed out after %" PRId64 " ms", attempt->spec->timeout_ms);
    else if (slot->ending == ENDING_STALLED)
        snprintf(text, text_size, "no progress for %" PRId64 " ms",
                 attempt->spec->progress_timeout_ms);
    else
        snprintf(text, text_size, "cancelled%s%s", attempt->reason[0] ? ": " : "", attempt->reason);
    report->error = bytes_str(text);
}

static void result(struct host *host, const struct host_input *input)
{
    struct slot *slot = &host->slots[input->slot];
    if (!slot->given.first)
        return;
    struct host_attempt *attempt = pop_first(slot);
    struct msg_report report = *input->report;
    char text[REASON_BYTES + 64];
    if (slot->ending != ENDING_NOT && input->asked_to_end)
        tell_ending(slot, attempt, &report, text, sizeof(text));
    host->average_us += ((double)report.execution_us - host->average_us) / 16;
    attempt_report(host, attempt, &report, input->now_ms);
    forget_task(slot);
    slot->active_ms = input->now_ms;
}

static void milestone(struct host *host, const struct host_input *input)
{
    struct slot *slot = &host->slots[input->slot];
    if (!slot->given.first)
        return;
    struct msg_report report = *input->report;
    slot->life_ms = input->now_ms;
    attempt_report(host, slot->given.first, &report, input->now_ms);
}

static void dead(struct host *host, const struct host_input *input, struct host_effects *effects)
{
    struct slot *slot = &host->slots[input->slot];
    slot->ready = false;
    if (slot->given.first && input->blamed) {
        struct host_attempt *attempt = pop_first(slot);
        struct msg_report report = *input->report;
        char text[REASON_BYTES + 64];
        report.outcome = OUTCOME_CRASHED;
        report.started_at = slot->started_ms ? slot->started_at : input->wall_ms;
        report.ended_at = input->wall_ms;
        report.execution_us = slot->started_ms ? (input->now_ms - slot->started_ms) * 1000 : 0;
        if (slot->ending != ENDING_NOT)
            tell_ending(slot, attempt, &report, text, sizeof(text));
        attempt_report(host, attempt, &report, input->now_ms);
    }
    while (slot->given.last) {
        struct host_attempt *attempt = slot->given.last;
        attempt_list_remove(&slot->given, attempt);
        slot->bytes -= attempt->bytes;
        give_back(host, attempt, input->now_ms);
    }
    notices_send(host, MSG_REJECT, effects);
    forget_task(slot);
}

static void started(struct slot *slot, const struct host_input *input)
{
    if (!slot->given.first || slot->started_ms)
        return;
    slot->started_ms = input->started_ms;
    slot->started_at = input->started_at;
    slot->life_ms = input->started_ms;
}

void slots_input(struct host *host, const struct host_input *input, struct host_effects *effects)
{
    struct slot *slot = &host->slots[input->slot];
    switch (input->kind) {
    case HOST_RUNNER_READY:
        slot->ready = !slot->is_closed;
        slot->active_ms = input->now_ms;
        break;
    case HOST_RUNNER_STARTED:
        started(slot, input);
        break;
    case HOST_RUNNER_RESULT:
        result(host, input);
        break;
    case HOST_RUNNER_MILESTONE:
        milestone(host, input);
        break;
    case HOST_RUNNER_PROGRESS:
        if (slot->given.first) {
            slot->has_progress = true;
            slot->progress = input->progress;
            slot->life_ms = input->now_ms;
        }
        break;
    case HOST_RUNNER_DEAD:
        dead(host, input, effects);
        break;
    case HOST_RECLAIMED:
        reclaimed(host, input, effects);
        break;
    default:
        break;
    }
}

/* Whether what stands at the head of a slot has been there for long. */
static bool is_long(const struct slot *slot, int64_t now_ms)
{
    return slot->given.count && now_ms - slot->active_ms >= LONG_MS;
}

static bool takes(const struct host *host, const struct slot *slot,
                  const struct host_attempt *attempt, size_t level)
{
    if (!slot->ready || slot->given.count >= level || slot->ending != ENDING_NOT)
        return false;
    return slot->given.count == 0 || (slot->given.count < host->config.ring_tasks &&
                                      slot->bytes + attempt->bytes <= host->config.ring_bytes);
}

static void fill(struct host *host, uint32_t index, size_t level, int64_t now_ms,
                 struct host_effects *effects)
{
    struct slot *slot = &host->slots[index];
    while (host->queue.first && takes(host, slot, host->queue.first, level)) {
        struct host_attempt *attempt = host->queue.first;
        attempt_list_remove(&host->queue, attempt);
        if (!slot->given.count)
            slot->active_ms = now_ms;
        attempt->state = ATTEMPT_GIVEN;
        attempt->slot = index;
        attempt_list_append(&slot->given, attempt);
        slot->bytes += attempt->bytes;
        struct host_effect *effect = effect_add(effects, HOST_GIVE);
        effect->slot = index;
        effect->task = (struct host_task){attempt->spec, attempt->task, attempt->delivery->values};
    }
}

/* Idle slots and an empty queue: what waits behind a long task elsewhere comes back. */
static void take_back(struct host *host, int64_t now_ms, struct host_effects *effects)
{
    bool has_idle = false;
    for (uint32_t i = 0; i < host->config.slots && !has_idle; i++)
        has_idle = host->slots[i].ready && !host->slots[i].given.count;
    for (uint32_t i = 0; has_idle && i < host->slot_count; i++)
        if (host->slots[i].given.count > 1 && is_long(&host->slots[i], now_ms))
            effect_add(effects, HOST_RECLAIM)->slot = i;
}

void slots_resize(struct host *host, uint32_t slots, struct host_effects *effects)
{
    if (slots > host->slot_count) {
        host->slots = mem_realloc(host->slots, slots, sizeof(*host->slots));
        memset(host->slots + host->slot_count, 0,
               (slots - host->slot_count) * sizeof(*host->slots));
        host->slot_count = slots;
    }
    for (uint32_t i = host->config.slots; i < slots; i++) {
        host->slots[i].is_closed = false;
        effect_add(effects, HOST_SLOT_OPEN)->slot = i;
    }
    host->config.slots = slots;
}

/* Slots beyond the wanted number end with the task that they have in hand. */
static void close_slots(struct host *host, struct host_effects *effects)
{
    for (uint32_t i = host->config.slots; i < host->slot_count; i++) {
        struct slot *slot = &host->slots[i];
        if (slot->given.count > 1) {
            effect_add(effects, HOST_RECLAIM)->slot = i;
        } else if (!slot->given.count && !slot->is_closed) {
            slot->is_closed = true;
            slot->ready = false;
            effect_add(effects, HOST_SLOT_CLOSE)->slot = i;
        }
    }
}

void slots_assign(struct host *host, int64_t now_ms, struct host_effects *effects)
{
    if (host->slot_count > host->config.slots)
        close_slots(host, effects);
    if (outbox_kept_bytes(&host->outbox) > host->config.kept_bytes || host->stopping)
        return;
    if (!host->queue.count) {
        take_back(host, now_ms, effects);
        return;
    }
    size_t ready = 0, tasks = host->queue.count;
    for (uint32_t i = 0; i < host->slot_count; i++) {
        tasks += host->slots[i].given.count;
        if (i >= host->config.slots)
            continue;
        ready += host->slots[i].ready;
        fill(host, i, 1, now_ms, effects);
    }
    double ahead = AHEAD_US / (host->average_us > 1 ? host->average_us : 1);
    size_t level = ready ? (tasks + ready - 1) / ready : 0;
    if ((double)level > ahead)
        level = (size_t)ahead;
    for (uint32_t i = 0; level > 1 && i < host->config.slots; i++)
        if (!is_long(&host->slots[i], now_ms))
            fill(host, i, level, now_ms, effects);
}

static int64_t end_due(const struct host *host, const struct slot *slot)
{
    if (slot->how == END_KILL)
        return slot->ending_ms + KILL_AGAIN_MS;
    /* A command is stopped step by step by its runner, which needs the same time for itself. */
    bool has_helper = slot->how == END_ASK && is_exec(slot->given.first);
    return slot->ending_ms + host->config.grace_ms * (has_helper ? 3 : 1);
}

static int64_t deadline(const struct slot *slot)
{
    int64_t due = INT64_MAX;
    const struct msg_spec *spec = slot->given.first->spec;
    if (!slot->started_ms)
        return due;
    if (spec->timeout_ms > 0 && spec->timeout_ms < INT64_MAX - slot->started_ms)
        due = slot->started_ms + spec->timeout_ms;
    if (spec->progress_timeout_ms > 0 && spec->progress_timeout_ms < INT64_MAX - slot->life_ms &&
        slot->life_ms + spec->progress_timeout_ms < due)
        due = slot->life_ms + spec->progress_timeout_ms;
    return due;
}

void slots_time(struct host *host, int64_t now_ms, struct host_effects *effects)
{
    for (uint32_t i = 0; i < host->slot_count; i++) {
        struct slot *slot = &host->slots[i];
        if (!slot->given.first)
            continue;
        const struct msg_spec *spec = slot->given.first->spec;
        if (slot->ending != ENDING_NOT) {
            if (now_ms >= end_due(host, slot))
                end_at(host, i, slot->how == END_ASK ? END_TERM : END_KILL, now_ms, effects);
        } else if (now_ms >= deadline(slot)) {
            bool is_timeout = spec->timeout_ms > 0 && now_ms - slot->started_ms >= spec->timeout_ms;
            slot_end(host, i, is_timeout ? ENDING_TIMEOUT : ENDING_STALLED, now_ms, effects);
        }
    }
}

int64_t slots_next_due(const struct host *host)
{
    int64_t due = INT64_MAX;
    for (uint32_t i = 0; i < host->slot_count; i++) {
        const struct slot *slot = &host->slots[i];
        if (!slot->given.first)
            continue;
        int64_t at = slot->ending == ENDING_NOT ? deadline(slot) : end_due(host, slot);
        if (at < due)
            due = at;
    }
    return due;
}

void slots_tell(struct host *host, struct host_effects *effects)
{
    for (uint32_t i = 0; i < host->slot_count; i++) {
        struct slot *slot = &host->slots[i];
        if (!slot->given.first || !slot->started_ms || slot->told_started)
            continue;
        slot->told_started = true;
        notice_add(host, &(struct msg_attempt){.id = slot->given.first->id,
                                               .phase = PHASE_RUNNING,
                                               .at = slot->started_at});
    }
    notices_send(host, MSG_STARTED, effects);
    for (uint32_t i = 0; i < host->slot_count; i++) {
        struct slot *slot = &host->slots[i];
        if (!slot->given.first || !slot->has_progress)
            continue;
        slot->has_progress = false;
        notice_add(host, &(struct msg_attempt){.id = slot->given.first->id,
                                               .phase = PHASE_RUNNING,
                                               .at = slot->started_at,
                                               .progress = slot->progress});
    }
    notices_send(host, MSG_PROGRESS, effects);
}
