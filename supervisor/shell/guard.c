/*
 * The list is read anew when its file is another one or has changed, which is looked for at each
 * handshake and once a second. Invariants: a list that cannot be read lets nobody in; every key
 * that a handshake is granted to is in the answer's user id, from where messages carry it.
 */
#include "supervisor/shell/guard.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <zmq.h>

#include "supervisor/shell/log.h"

enum {
    HANDSHAKES_A_TURN = 64,
    LINES_A_SECOND = 10,
    FRAMES = 7, /* version, request, domain, address, identity, mechanism, key */
};

/* The domain of sockets in the supervisor's directory, which only its user reaches. */
#define LOCAL "local"

enum frame { VERSION, REQUEST, DOMAIN, ADDRESS, IDENTITY, MECHANISM, CREDENTIALS };

/* ---- keys ---- */

static enum synk_status load_server_keys(struct guard *guard, const struct directory *directory,
                                         struct synk_error *error)
{
    char path[DIRECTORY_PATH_BYTES], public_key[41], secret_key[41];
    directory_path(directory, DIRECTORY_SERVER_KEY, path);
    struct stat info;
    if (stat(path, &info) == 0 || errno != ENOENT)
        return keyfile_read(path, &guard->pair, error);
    if (zmq_curve_keypair(public_key, secret_key) != 0)
        return status_fail(error, SYNK_UNSUPPORTED, "libzmq was built without CURVE: no keys");
    zmq_z85_decode(guard->pair.public_key, public_key);
    zmq_z85_decode(guard->pair.secret_key, secret_key);
    explicit_bzero(secret_key, sizeof(secret_key));
    enum synk_status status = keyfile_write(path, &guard->pair, error);
    if (!status)
        log_line(LOG_INFO, "made the supervisor's keys", log_text("file", path));
    return status;
}

/* Whether the file is not the one that was read. */
static bool has_changed(const struct guard *guard, struct stat *ret_now, bool *ret_exists)
{
    *ret_exists = stat(guard->keys_path, ret_now) == 0;
    if (*ret_exists != guard->has_seen)
        return true;
    const struct stat *seen = &guard->seen;
    return *ret_exists &&
           (seen->st_ino != ret_now->st_ino || seen->st_size != ret_now->st_size ||
            seen->st_mode != ret_now->st_mode || seen->st_ctim.tv_sec != ret_now->st_ctim.tv_sec ||
            seen->st_ctim.tv_nsec != ret_now->st_ctim.tv_nsec);
}

static bool may_subscribe(enum role role)
{
    return role == ROLE_OBSERVE || role == ROLE_SUBMIT || role == ROLE_ADMIN;
}

static bool cuts_readers(const struct key_list *before, const struct key_list *now)
{
    for (size_t i = 0; i < before->count; i++) {
        const struct listed_key *key = key_list_find(now, before->items[i].key);
        if (may_subscribe(before->items[i].role) && (!key || !may_subscribe(key->role)))
            return true;
    }
    return false;
}

static void say_list(const struct guard *guard)
{
    log_line(LOG_INFO, "keys", log_text("file", guard->keys_path),
             log_int("allowed", (int64_t)guard->list.count));
    if (guard->list.bad_lines)
        log_line(LOG_WARN, "lines of the list of keys are left out: PUBLIC ROLE NAME is wanted",
                 log_text("file", guard->keys_path), log_int("lines", guard->list.bad_lines),
                 log_int("first", guard->list.bad_line));
}

void guard_refresh(struct guard *guard)
{
    struct stat now = {.st_ino = 0};
    struct key_list list = {0};
    struct synk_error error = {0};
    bool exists;
    if (!has_changed(guard, &now, &exists) && !guard->is_unreadable)
        return;
    bool failed = key_list_read(guard->keys_path, &list, &error) != SYNK_OK;
    if (failed && guard->is_unreadable)
        return;
    if (failed)
        log_line(LOG_ERROR, "the list of keys cannot be read: nobody is let in over the network",
                 log_text("error", error.text));
    guard->is_unreadable = failed;
    guard->cuts_readers = guard->cuts_readers || cuts_readers(&guard->list, &list);
    key_list_fini(&guard->list);
    guard->list = list;
    guard->seen = now;
    guard->has_seen = exists;
    guard->version++;
    if (!failed)
        say_list(guard);
}

bool guard_take_cut(struct guard *guard)
{
    bool cuts = guard->cuts_readers;
    guard->cuts_readers = false;
    return cuts;
}

enum synk_status guard_init(struct guard *guard, const struct directory *directory,
                            struct synk_error *error)
{
    *guard = (struct guard){.version = 1};
    directory_path(directory, DIRECTORY_KEYS, guard->keys_path);
    if (!zmq_has("curve"))
        return status_fail(error, SYNK_UNSUPPORTED, "libzmq was built without CURVE: no keys");
    enum synk_status status = load_server_keys(guard, directory, error);
    if (status)
        return status;
    guard_refresh(guard);
    if (guard->list.count == 0 && !guard->is_unreadable)
        log_line(LOG_WARN, "no key is allowed yet: nobody can come over the network",
                 log_text("allow", "synk keys add"));
    return SYNK_OK;
}

void guard_fini(struct guard *guard)
{
    explicit_bzero(&guard->pair, sizeof(guard->pair));
    key_list_fini(&guard->list);
}

const struct listed_key *guard_find(const struct guard *guard, const uint8_t key[KEY_BYTES])
{
    return key_list_find(&guard->list, key);
}

/* ---- the sockets that are guarded ---- */

static void set(void *socket, int option, const void *value, size_t size)
{
    int failed = zmq_setsockopt(socket, option, value, size);
    assert(!failed);
}

void guard_arm(const struct guard *guard, void *socket, const char *domain)
{
    int is_server = domain != NULL;
    /* A domain cannot be taken away again, and with one ZeroMQ asks about everybody: so what is of
     * this machine has a domain, too. */
    if (!domain)
        domain = LOCAL;
    set(socket, ZMQ_CURVE_SECRETKEY, guard->pair.secret_key, KEY_BYTES);
    set(socket, ZMQ_ZAP_DOMAIN, domain, strlen(domain));
    set(socket, ZMQ_CURVE_SERVER, &is_server, sizeof(is_server));
}

/* ---- ZAP ---- */

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)poll, (void)status, (void)events; /* the loop is awake: guard_serve is next */
}

enum synk_status guard_open(struct guard *guard, void *context, uv_loop_t *loop,
                            struct synk_error *error)
{
    int fd = -1, no_linger = 0;
    size_t size = sizeof(fd);
    guard->zap = zmq_socket(context, ZMQ_REP);
    if (!guard->zap || zmq_setsockopt(guard->zap, ZMQ_LINGER, &no_linger, sizeof(no_linger)) != 0 ||
        zmq_bind(guard->zap, "inproc://zeromq.zap.01") != 0 ||
        zmq_getsockopt(guard->zap, ZMQ_FD, &fd, &size) != 0)
        return status_fail(error, SYNK_IO, "cannot watch over handshakes: %s", zmq_strerror(errno));
    int code = uv_poll_init(loop, &guard->poll, fd);
    if (code == 0)
        code = uv_poll_start(&guard->poll, UV_READABLE, on_readable);
    return code ? status_fail(error, SYNK_IO, "cannot watch over handshakes: %s", uv_strerror(code))
                : SYNK_OK;
}

void guard_close(struct guard *guard)
{
    if (!guard->zap)
        return;
    if (guard->poll.loop) {
        uv_poll_stop(&guard->poll);
        uv_close((uv_handle_t *)&guard->poll, NULL);
    }
    zmq_close(guard->zap);
    guard->zap = NULL;
}

static struct synk_bytes bytes_in(zmq_msg_t *frame)
{
    return bytes_of(zmq_msg_data(frame), zmq_msg_size(frame));
}

static bool is_text(zmq_msg_t *frame, const char *text)
{
    return bytes_equal(bytes_in(frame), bytes_str(text));
}

static void log_refusal(struct guard *guard, zmq_msg_t *frames, const struct listed_key *key,
                        const char *why)
{
    char text[KEY_TEXT_BYTES] = "";
    int64_t now_ms = (int64_t)(uv_hrtime() / 1000000);
    guard->refused++;
    if (now_ms - guard->logged_since_ms >= 1000) {
        guard->logged_since_ms = now_ms;
        guard->logged = 0;
    }
    if (guard->logged++ >= LINES_A_SECOND)
        return;
    if (zmq_msg_size(&frames[CREDENTIALS]) == KEY_BYTES)
        key_print(zmq_msg_data(&frames[CREDENTIALS]), text);
    log_line(LOG_WARN, "refused a connection", log_text("why", why),
             log_bytes("for", bytes_in(&frames[DOMAIN])),
             log_bytes("from", bytes_in(&frames[ADDRESS])), log_text("key", text),
             log_text("name", key ? key->name : ""), log_int("refused", (int64_t)guard->refused));
}

/* NULL = let it in. Of requests and host messages the core decides, which can say why; a
 * subscriber is told nothing later, so it is stopped here. */
static const char *reason_against(zmq_msg_t *frames, const struct listed_key *key)
{
    if (is_text(&frames[DOMAIN], LOCAL))
        return NULL;
    if (!is_text(&frames[VERSION], "1.0") || !is_text(&frames[MECHANISM], "CURVE") ||
        zmq_msg_size(&frames[CREDENTIALS]) != KEY_BYTES)
        return "no key";
    if (!key)
        return "the key is not on the list";
    if (is_text(&frames[DOMAIN], "events") && !may_subscribe(key->role))
        return "events take observe, submit or admin";
    return NULL;
}

static void send_part(void *socket, const void *data, size_t size, int flags)
{
    /* A REP has room for its one answer; to whom has gone it drops it. */
    int sent;
    do
        sent = zmq_send(socket, data, size, flags | ZMQ_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    assert(sent >= 0);
}

static void answer(struct guard *guard, zmq_msg_t *frames)
{
    char user[KEY_TEXT_BYTES] = "";
    guard_refresh(guard);
    const struct listed_key *key = NULL;
    if (zmq_msg_size(&frames[CREDENTIALS]) == KEY_BYTES) {
        key = guard_find(guard, zmq_msg_data(&frames[CREDENTIALS]));
        key_print(zmq_msg_data(&frames[CREDENTIALS]), user);
    }
    const char *why = reason_against(frames, key);
    if (why)
        log_refusal(guard, frames, key, why);
    send_part(guard->zap, "1.0", 3, ZMQ_SNDMORE);
    send_part(guard->zap, zmq_msg_data(&frames[REQUEST]), zmq_msg_size(&frames[REQUEST]),
              ZMQ_SNDMORE);
    send_part(guard->zap, why ? "400" : "200", 3, ZMQ_SNDMORE);
    send_part(guard->zap, why ? why : "", why ? strlen(why) : 0, ZMQ_SNDMORE);
    send_part(guard->zap, user, why ? 0 : strlen(user), ZMQ_SNDMORE);
    send_part(guard->zap, "", 0, 0);
}

/* One question of ZeroMQ's, which are its own and whole. */
static bool serve_one(struct guard *guard)
{
    zmq_msg_t frames[FRAMES], rest;
    int count = 0;
    bool more = true;
    for (int i = 0; i < FRAMES; i++)
        zmq_msg_init(&frames[i]);
    zmq_msg_init(&rest);
    while (more) {
        zmq_msg_t *frame = count < FRAMES ? &frames[count] : &rest;
        int size;
        do
            size = zmq_msg_recv(frame, guard->zap, ZMQ_DONTWAIT);
        while (size < 0 && errno == EINTR);
        if (size < 0)
            break;
        more = zmq_msg_more(frame);
        count++;
    }
    if (count)
        answer(guard, frames);
    for (int i = 0; i < FRAMES; i++)
        zmq_msg_close(&frames[i]);
    zmq_msg_close(&rest);
    return count > 0;
}

bool guard_serve(struct guard *guard)
{
    for (int i = 0; i < HANDSHAKES_A_TURN; i++)
        if (!serve_one(guard))
            return false;
    return true;
}
