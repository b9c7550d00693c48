/* The parts of struct host, for host.c, host_attempts.c, host_slots.c and host_outbox.c. */
#ifndef WORKER_HOST_HOST_INTERNAL_H
#define WORKER_HOST_HOST_INTERNAL_H

#include "worker-host/host.h"

/* One dispatch message, kept while a task of it is unfinished. */
struct delivery {
    uint32_t references;
    struct arena arena;
    struct msg_dispatch dispatch;
    struct synk_bytes *values;
    size_t value_count;
};

enum attempt_state {
    ATTEMPT_QUEUED,   /* in host.queue */
    ATTEMPT_GIVEN,    /* in a slot's list: the first one runs or is about to */
    ATTEMPT_REPORTED, /* in host.reported, until acknowledged */
    ATTEMPT_DONE,     /* in host.done, a while, so that a late repeat of its dispatch is known */
};
/* A request that waits for the runner to say whether the attempt began. */
enum attempt_mark { MARK_NONE, MARK_CANCEL, MARK_RECALL };

enum { REASON_BYTES = 64 };

struct host_attempt {
    struct attempt_id id;
    enum attempt_state state;
    enum attempt_mark mark;
    char reason[REASON_BYTES];
    struct delivery *delivery; /* NULL from REPORTED on */
    const struct msg_spec *spec;
    const struct msg_task *task;
    size_t bytes;    /* of its frame */
    uint64_t report; /* number of its result */
    uint32_t slot;
    struct host_attempt *same_hash, *previous, *next;
};
struct attempt_list {
    struct host_attempt *first, *last;
    size_t count;
};
void attempt_list_append(struct attempt_list *list, struct host_attempt *attempt);
void attempt_list_prepend(struct attempt_list *list, struct host_attempt *attempt);
void attempt_list_remove(struct attempt_list *list, struct host_attempt *attempt);

enum ending { ENDING_NOT, ENDING_CANCEL, ENDING_TIMEOUT, ENDING_STALLED };

struct slot {
    bool ready;
    bool is_closed; /* beyond the wanted number, and without a runner */
    struct attempt_list given;
    size_t bytes;
    /* Of the oldest task: */
    int64_t started_ms; /* 0 = not known to have begun */
    int64_t started_at;
    bool told_started;
    bool has_progress; /* not yet told */
    double progress;
    int64_t life_ms; /* last progress or milestone */
    enum ending ending;
    enum host_end how;
    int64_t ending_ms; /* when the last step of the kill was taken */
    int64_t active_ms; /* when the slot last got or finished something */
};

/* Report items until acknowledged: their bytes one behind the other, and their sizes. */
struct outbox {
    struct buf bytes;
    size_t bytes_start;
    uint32_t *sizes;
    size_t size_start, size_end, size_capacity;
    uint64_t first;         /* number of the first kept item */
    uint64_t sent, spooled; /* numbers up to which items were sent in this session, or spooled */
    size_t sent_bytes, spooled_bytes; /* the same, from bytes_start */
    size_t file_bytes;                /* in the spool file */
    bool is_torn;                     /* the file holds what cannot be read: append nothing */
    /* What a failed write of the spool goes back to, and when the next one may be tried. */
    struct {
        uint64_t spooled;
        size_t spooled_bytes, file_bytes;
        bool is_torn, is_rewrite;
    } undo;
    int64_t append_due_ms, rewrite_due_ms;
    int64_t *times;      /* when each was made, parallel to sizes */
    int64_t progress_ms; /* when something was last sent anew or acknowledged */
};
void outbox_init(struct outbox *outbox);
void outbox_fini(struct outbox *outbox);
uint64_t outbox_last(const struct outbox *outbox); /* first - 1 when empty */
size_t outbox_kept_bytes(const struct outbox *outbox);
/* Appends what was just encoded at the end of outbox->bytes; returns its number. */
uint64_t outbox_commit(struct outbox *outbox, size_t old_size, int64_t now_ms);
void outbox_acknowledge(struct outbox *outbox, uint64_t upto);
/* All are to be sent again. */
void outbox_rewind(struct outbox *outbox);
/* The next items to send, at most LIMIT_BATCH_BYTES of them (or one); false when there are none. */
bool outbox_next(struct outbox *outbox, uint64_t *ret_first, size_t *ret_count,
                 struct synk_bytes *ret_items);
/* host_spool.c: reports of an earlier life, as host_restore; what is to be written now, if any;
 * the last write failed. */
size_t outbox_restore(struct outbox *outbox, struct synk_bytes items, struct arena *scratch);
void spool_keep(struct host *host, int64_t now_ms, struct host_effects *effects);
void spool_failed(struct outbox *outbox, int64_t now_ms);

enum link_state {
    LINK_HELLO,   /* hello was sent, at link_ms */
    LINK_WELCOME, /* synced */
    LINK_WAIT,    /* until link_due_ms, then reconnect */
};

struct host {
    struct host_config config;
    char *name, *version;
    struct host_attempt **table; /* by hash of the id */
    size_t table_size, table_count;
    struct host_attempt *free_attempts;
    struct attempt_list queue, reported, done;
    struct slot *slots;
    uint32_t slot_count; /* at least config.slots, which are wanted: what is beyond ends */
    struct outbox outbox;
    enum link_state link;
    int64_t link_ms, link_due_ms, heard_ms, heartbeat_due_ms, step_ms;
    int64_t lost_ms;     /* since when there has been no supervisor */
    int64_t stopped_ms;  /* when HOST_STOP came */
    char leader[256];    /* where to go when LINK_WAIT ends; "" = to the next address */
    int64_t followed_ms; /* when it was last told where the leader is */
    uint32_t heartbeat_ms, silence_ms, tries;
    uint32_t epoch;
    bool draining, stopping, exited;
    double average_us; /* of executions, for how many tasks to give ahead */
    uint64_t random;
    int64_t rss_kib, cpu_us;
    uint64_t results, refused_messages;
    struct msg_attempt *notices; /* scratch */
    size_t notice_count, notice_capacity;
    struct arena scratch;
};

/* host_attempts.c */
struct host_attempt *attempt_find(const struct host *host, struct attempt_id id);
struct host_attempt *attempt_add(struct host *host, struct attempt_id id);
void attempt_release(struct host *host, struct host_attempt *attempt); /* its delivery */
void attempt_drop(struct host *host, struct host_attempt *attempt);    /* from the table; frees */
/* Reports its result and moves it to host.reported; it is in no other list. */
void attempt_report(struct host *host, struct host_attempt *attempt, struct msg_report *report,
                    int64_t now_ms);
/* Everything acknowledged moves on. */
void attempts_acknowledged(struct host *host, uint64_t upto);
void delivery_unref(struct delivery *delivery);
void notice_add(struct host *host, const struct msg_attempt *notice);
/* Sends the notices as messages of `type` and forgets them; SYNC ends with a last part. */
void notices_send(struct host *host, enum msg_type type, struct host_effects *effects);

/* host_slots.c */
void slots_input(struct host *host, const struct host_input *input, struct host_effects *effects);
void slots_assign(struct host *host, int64_t now_ms, struct host_effects *effects);
void slots_time(struct host *host, int64_t now_ms, struct host_effects *effects);
/* So many slots from now on; what runs in those beyond may end first. */
void slots_resize(struct host *host, uint32_t slots, struct host_effects *effects);
void slots_tell(struct host *host, struct host_effects *effects);
int64_t slots_next_due(const struct host *host);
void slot_end(struct host *host, uint32_t slot, enum ending ending, int64_t now_ms,
              struct host_effects *effects);

/* host.c */
struct host_effect *effect_add(struct host_effects *effects, enum host_effect_kind kind);
void effect_text(struct host_effects *effects, enum host_effect_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A message whose body was appended to effects->bytes from `body_offset` on. */
void effect_send(struct host *host, struct host_effects *effects, enum msg_type type,
                 uint64_t sequence, size_t body_offset);

#endif
