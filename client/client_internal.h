/*
 * What the files of the client library share. A client is five parts, one file each:
 *   link          the ZeroMQ sockets, and whether somebody is at the other end
 *   request       requests that are not answered yet, in the order of their sequence
 *   subscription  readers of the event log
 *   turn          the lock, and which of several threads waits
 *   client        the fd, the turn of the loop, and the order in which the parts get theirs
 * call and apply are written on top of the public interface. Only client/ includes this.
 */
#ifndef CLIENT_INTERNAL_H
#define CLIENT_INTERNAL_H

#include <pthread.h>

#include "proto/address.h"
#include "proto/bytes.h"
#include "proto/directory.h"
#include "proto/keyfile.h"
#include "proto/limits.h"
#include "proto/msg.h"
#include "proto/value.h"
#include "synk/client.h"

enum {
    /* Silence with requests under way before the client asks whether anybody is there. */
    CLIENT_PROBE_MS = 2000,
    /* Such questions grow rarer up to this: a wait may take days. */
    CLIENT_PROBE_MAX_MS = 30000,
    /* With fail_fast: how long a supervisor that was there may be gone before requests under way
     * fail; a restart takes less. */
    CLIENT_GONE_MS = 15000,
    /* By addresses: how long a connection may take before another address is tried; a round trip is
     * repeated by the system after one second. */
    CLIENT_TRY_MS = 2500,
    /* And how long whoever took the connection may be mute: a stopped process, a cut cable. */
    CLIENT_MUTE_MS = 10000,
    /* With fail_fast: how long nobody may be found at any of the addresses. */
    CLIENT_FIND_MS = 5000,
    /* Pauses between rounds of addresses that all refused: from this, doubled, to that. */
    CLIENT_ROUND_MS = 50,
    CLIENT_ROUND_MAX_MS = 1000,
    /* How long a subscription does without word from PUB before it asks by itself. Three heads. */
    CLIENT_DEAF_MS = 3000,
    /* Messages taken from one socket in a turn: the caller's loop has other work, too. */
    CLIENT_TURN_MESSAGES = 512,
    /* Messages queued in a socket. Requests beyond wait in the client's own list. */
    CLIENT_SOCKET_MESSAGES = 1000,
    CLIENT_SUBSCRIPTIONS = 1024,
};

/* One request until it is answered. */
struct request {
    uint64_t sequence;
    uint16_t type;
    struct buf body;
    synk_reply reply;
    void *context;
    struct request *previous, *next; /* by sequence */
    struct request *chained;         /* in its bucket */
};

/* All of them. Those that are sent come before those that are not. */
struct request_table {
    struct request *first, *last, *unsent; /* unsent: the first one, NULL = all are sent */
    struct request **buckets;
    size_t bucket_count, count;
    uint64_t next_sequence;
};

struct link {
    void *context, *dealer, *monitor, *events;
    char events_address[DIRECTORY_PATH_BYTES];
    uint32_t epoch;        /* 0 = not known yet */
    bool is_fresh;         /* connected again since the epoch was learned */
    bool is_probing;       /* a `connect` is under way */
    bool is_overdue;       /* it was asked because requests stay without an answer */
    bool is_noticed;       /* that the supervisor cannot save was told */
    int64_t down_since_ms; /* 0 = connected */
    int64_t heard_ms, events_heard_ms, probe_ms, probe_wait_ms;
    uint64_t head; /* the highest number that PUB told */
    /* By addresses; see link.c. */
    size_t at;         /* the one in use, unless: */
    bool has_leader;   /* told by one that does not lead */
    bool wants_leader; /* goes to `leader` next, and not to the next of the list */
    struct address leader;
    bool is_found;          /* a supervisor has answered */
    int64_t opened_ms;      /* when the search began */
    int64_t tried_ms;       /* when the present address was first connected to */
    int64_t asked_ms;       /* when the `connect` under way was first sent */
    int64_t next_ms;        /* when to go to another address; INT64_MAX = no reason to */
    unsigned refusals;      /* connections in a row that failed */
    unsigned sockets;       /* opened so far */
    char refused_text[256]; /* why the last one would not have us */
    char shut_text[128];    /* why a handshake failed */
};

/* See turn.c. */
struct turn {
    pthread_mutex_t lock; /* over all of the client */
    pthread_cond_t made;
    unsigned depth; /* of calls inside callbacks of the thread that holds the lock */
    bool is_led;    /* a thread waits for the fd without the lock */
    uint64_t count;
    int leader_fd, interrupt_fd;
};

struct synk_client {
    struct turn turn;
    struct directory directory;
    struct address_list addresses; /* count 0 = by the directory */
    struct key_ring keys;          /* only by addresses */
    char *where;                   /* either, for messages */
    int64_t timeout_ms;
    bool fail_fast, is_closing;
    void (*notice)(void *context, const char *text);
    void *notice_context;
    int fd, timer_fd, wake_fd;
    bool is_awake; /* wake_fd is raised */
    struct link link;
    struct request_table requests;
    struct synk_subscription *subscriptions;
    size_t subscription_count;
};

/* turn.c: every public call is between these two. */
void client_lock(struct synk_client *client);
void client_unlock(struct synk_client *client);
void turn_init(struct turn *turn);
void turn_fini(struct turn *turn);
/* Waits until a turn was made, by this thread or another, up to the monotonic time (INT64_MAX = for
 * ever). SYNK_TIMEOUT, or SYNK_OK. The lock is held before and after. */
enum synk_status turn_wait(struct synk_client *client, int64_t end_ms);
/* Tells those who wait that a turn was made. */
void turn_made(struct synk_client *client, bool by_leader);
void turn_take_interrupt(struct turn *turn);
/* Does what is due; locked. client.c. */
void client_make_turn(struct synk_client *client);

/* Milliseconds of the monotonic clock. */
int64_t client_now_ms(void);
/* Makes the fd readable where something is still to do, and sets the timer. Every public call that
 * touches a socket ends with it: ZeroMQ's fds are edge-triggered and any use takes the edge. */
void client_arm(struct synk_client *client);
/* SYNK_UNAVAILABLE where no supervisor has the directory. By addresses nothing is known at once. */
enum synk_status client_check_supervisor(const struct synk_client *client,
                                         struct synk_error *error);

/* link.c */
enum synk_status link_init(struct synk_client *client, struct synk_error *error);
void link_fini(struct link *link);
/* An answer that says that another one leads. */
void link_refused(struct synk_client *client, struct synk_bytes body, int64_t now_ms);
/* The fds of the sockets go into the client's epoll. */
enum synk_status link_watch(struct synk_client *client, void *socket, struct synk_error *error);
/* Whether a socket has what ZMQ_EVENTS asks for. Takes the edge. */
bool link_has(void *socket, int events);
void link_process(struct synk_client *client, int64_t now_ms);
/* When it next has something to do by itself; INT64_MAX = not. */
int64_t link_deadline_ms(const struct synk_client *client);
/* Sends header and body. False where it must wait. */
bool link_send(struct link *link, uint16_t type, uint64_t sequence, struct synk_bytes body);
/* Asks `connect`, unless that is under way. */
void link_probe(struct synk_client *client, int64_t now_ms);
/* Opens the SUB socket where it is needed and its address is known. */
void link_open_events(struct synk_client *client);

/* request.c */
void requests_fini(struct request_table *table);
/* Takes the body's memory. Returns the sequence. */
uint64_t requests_add(struct synk_client *client, uint16_t type, struct buf *body, synk_reply reply,
                      void *context);
/* Sends what is not sent as far as the socket takes it. */
void requests_flush(struct synk_client *client);
/* All are to be sent again: the connection is a new one. */
void requests_rewind(struct synk_client *client);
/* Handles a reply or an error; others are dropped. */
void requests_answer(struct synk_client *client, struct msg_header header, struct synk_bytes body);
/* Answers all that are there now with a failure. */
void requests_fail(struct synk_client *client, const struct synk_error *error);
/* Drops one whose caller no longer cares; its callback does not run. */
void requests_forget(struct synk_client *client, uint64_t sequence);

/* subscription.c */
void subscriptions_fini(struct synk_client *client);
void subscriptions_process(struct synk_client *client, int64_t now_ms);
int64_t subscriptions_deadline_ms(const struct synk_client *client);
/* PUB told a number: those that have not read so far are to fetch. */
void subscriptions_wake(struct synk_client *client, uint64_t head);
/* What is freed when the subscription is. */
void subscription_own(struct synk_subscription *subscription, void *owned);
/* Sets the topics of all of them on a new SUB socket. */
void subscriptions_set_topics(struct synk_client *client);

#endif
