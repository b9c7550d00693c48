/*
 * A client of a supervisor: opening, closing, the event loop, and the general request. What can be
 * asked by name is in <synk/units.h>, <synk/runs.h>, <synk/pool.h>, <synk/events.h> and
 * <synk/supervisor.h>; <synk/client.h> has them all.
 *
 * A struct synk_client is one connection, asynchronous at its core: every call is a request whose
 * callback runs from synk_client_process. The blocking calls are the same requests with a loop
 * around them. Event loops: wait until synk_client_fd is readable (level-triggered), then call
 * synk_client_process. Connection: requests are kept and sent again, with their idempotency key,
 * until they are answered: a supervisor that restarts in between answers them once.
 *
 * Threads: every call may be made from any thread, on one client or on several; a client costs a
 * connection, so threads of one program may well share one. Callbacks run in whichever thread makes
 * the turn, one at a time, and what is asked on other threads waits for them: a callback must not
 * wait for another thread that uses the client. It may make any call, blocking ones too, but for
 * synk_client_close, which is for the last one who uses the client. Lists, builders and documents
 * belong to one thread at a time. After fork, a child opens its own client.
 *
 * Growth: structs that a program fills end in `reserved`, which must be zero (as `= {0}` and
 * designated initializers leave it) and is what later fields are made of; a library that finds it
 * used by a newer program refuses with SYNK_UNSUPPORTED. Structs that the library hands out may
 * grow at their end: read them where they are, never copy them by value. Functions, their
 * parameters and the numbers of enums stay.
 */
#ifndef SYNK_CONNECTION_H
#define SYNK_CONNECTION_H

#include <synk/value.h>

#ifdef __cplusplus
extern "C" {
#endif

struct synk_client;

/* Of the header; synk_abi_version is that of the library in use. A library serves programs that
 * were built for the same number or a lower one of the same soname. */
#define SYNK_ABI_VERSION 1

/* The library's release, such as "1.4.0". */
SYNK_API const char *synk_version(void);
/* Rises when functions or fields are added; a change that breaks programs changes the soname. */
SYNK_API unsigned synk_abi_version(void);

struct synk_client_options {
    /* The supervisor's directory; NULL = $SYNK_CONNECT, else $SYNK_DIR, else the user's default. */
    const char *directory;
    /* How long a blocking call may take, ms; 0 = as long as it takes. A call that finds no
     * supervisor alive in the directory fails with SYNK_UNAVAILABLE at once where fail_fast is set;
     * by addresses, where all refuse the connection, or none has answered for five seconds (fifteen
     * once one did: a standby needs time to take over).
     */
    int64_t timeout_ms;
    bool fail_fast;
    /* Called from synk_client_process when requests have been without an answer for two seconds
     * because the supervisor cannot save its state, with the reason; once until it has saved again.
     * The requests are kept, and answered when it has. May be NULL. */
    void (*notice)(void *context, const char *text);
    void *notice_context;
    /* Of a supervisor on another machine: "tcp://IP:PORT" as its --listen has it; of a leader and
     * its standbys all of them, with commas between: the one that leads is found, and followed.
     * NULL = as `directory` says; both is SYNK_INVALID. */
    const char *connect;
    /* Where such a supervisor asks for keys: a file of `synk keygen`, and the supervisor's public
     * key, 64 hexadecimal digits. NULL = $SYNK_KEY and $SYNK_SERVER_KEY. */
    const char *key_file, *server_key;
    uint64_t reserved[1]; /* zero; new fields come out of it */
};

/* Opens a client; connects in the background. Fails with SYNK_UNAVAILABLE where no supervisor runs
 * on the directory and options->fail_fast is set, with SYNK_INVALID or SYNK_IO otherwise. options
 * may be NULL. */
SYNK_API enum synk_status synk_client_open(const struct synk_client_options *options,
                                           struct synk_client **ret_client,
                                           struct synk_error *error);
/* Closes; callbacks of requests under way run with SYNK_CANCELLED. Takes NULL. */
SYNK_API void synk_client_close(struct synk_client *client);
/* An fd to wait on for reading; it stays the same for the client's life. */
SYNK_API int synk_client_fd(const struct synk_client *client);
/* Does what is due: sends, receives, runs callbacks. Never blocks. */
SYNK_API void synk_client_process(struct synk_client *client);
/* Waits up to timeout_ms (-1 = for ever) until something was processed, by this thread or by
 * another, or synk_client_wake was called. SYNK_TIMEOUT, or SYNK_OK. */
SYNK_API enum synk_status synk_client_wait(struct synk_client *client, int timeout_ms);
/* Makes the fd readable once, so that a loop on it and synk_client_wait come back. May be called
 * from any thread and from signal handlers; takes no lock. */
SYNK_API void synk_client_wake(struct synk_client *client);
/* The directory that is used, or the addresses: for messages. */
SYNK_API const char *synk_client_directory(const struct synk_client *client);

/* A reply: `body` is a map as PROTOCOL.md describes, valid during the call; NULL when status is not
 * SYNK_OK, and then `error` has the text. */
typedef void (*synk_reply)(void *context, enum synk_status status, const struct synk_value *body,
                           const struct synk_error *error);

/*
 * The general request: `type` is a name of PROTOCOL.md ("run", "show", …), `body` an encoded map. A
 * key is drawn and added where the body has none and the request changes something. Every call by
 * name is this one with a body built for it. The callback runs once, from synk_client_process or
 * synk_client_close, and not at all where the call itself fails: SYNK_UNSUPPORTED for an unknown
 * type, SYNK_INVALID or SYNK_TOO_LARGE for the body.
 */
SYNK_API enum synk_status synk_request(struct synk_client *client, const char *type,
                                       struct synk_bytes body, synk_reply reply, void *context,
                                       struct synk_error *error);
/* The same, blocking. The document is the caller's to free; ret_body may be NULL. Fails with what
 * the supervisor answered, or SYNK_TIMEOUT; what was asked may then have happened or not, and
 * asking again with the same key in the body finds out without doing it twice. */
SYNK_API enum synk_status synk_call(struct synk_client *client, const char *type,
                                    struct synk_bytes body, struct synk_document **ret_body,
                                    struct synk_error *error);

/*
 * A list, read page by page as it is walked: the first synk_list_next asks for the first page, and
 * each page's end for the next one. What changes meanwhile may be in it or not; nothing that is
 * there all along is left out or told twice.
 */
struct synk_list;
struct synk_list_filter {
    const char *unit;     /* of runs: of this unit; NULL = any */
    const char *status;   /* as units and runs have it in PROTOCOL.md; NULL = any */
    int64_t since_ms;     /* of runs: created at or after, ms since the epoch; 0 = any */
    const char *kind;     /* of units: "worker" or "process"; NULL = any */
    const char *worker;   /* of units: processes that have this worker; NULL = any */
    bool deep;            /* of units and workers: with their definitions */
    unsigned page;        /* items a page; 0 = as many as the supervisor gives */
    uint64_t reserved[8]; /* zero; new fields come out of it */
};
/* Lists `what` ("units", "runs", …: the list request of PROTOCOL.md). filter may be NULL; it is
 * copied. Does not block. */
SYNK_API enum synk_status synk_list_open(struct synk_client *client, const char *what,
                                         const struct synk_list_filter *filter,
                                         struct synk_list **ret_list, struct synk_error *error);
/* The next item, a map that lives until the next call on the list; NULL at the end. Blocks when a
 * page is to be fetched; fails as synk_call does, and may then be called again. */
SYNK_API enum synk_status synk_list_next(struct synk_list *list, const struct synk_value **ret_item,
                                         struct synk_error *error);
/* Before the client is closed. Takes NULL. */
SYNK_API void synk_list_close(struct synk_list *list);

#ifdef __cplusplus
}
#endif
#endif
