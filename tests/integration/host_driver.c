/*
 * The worker host as a supervisor sees it: plays the supervisor on a ROUTER and drives the real
 * program. `host_driver PROGRAM PLUGIN-DIR [CASE]`: runs all cases or one; with `noop` or `true` as
 * CASE it measures instead: tasks per second, and for `true` the ratio to a bare posix_spawn.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "proto/json.h"
#include "proto/msg.h"
#include "proto/pack.h"

extern char **environ;

static const char *program, *plugin_dir;
static char directory[256];
static int failures;

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            failures++;                                                                            \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #condition);                                 \
            printf(" " __VA_ARGS__);                                                               \
            printf("\n");                                                                          \
        }                                                                                          \
    } while (0)

/* One played supervisor and its host. */
struct scene {
    void *zmq, *router;
    char address[300], dir[300];
    pid_t pid;
    uint8_t peer[256];
    int peer_size;
    struct arena arena;
    /* The last message. */
    struct msg_header header;
    struct buf body;
    uint64_t acknowledged;
    bool acknowledges;
    size_t synced;
};

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t now_ms(void)
{
    return now_us() / 1000;
}

static void start_host(struct scene *scene, const char *slots, const char *extra)
{
    char *argv[] = {(char *)(uintptr_t)program,
                    "--connect",
                    scene->address,
                    "--name",
                    "test",
                    "--dir",
                    scene->dir,
                    "--slots",
                    (char *)(uintptr_t)slots,
                    "--plugin-dir",
                    (char *)(uintptr_t)plugin_dir,
                    "--kill-ms",
                    "300",
                    "--parent-bound",
                    (char *)(uintptr_t)extra,
                    NULL};
    if (posix_spawn(&scene->pid, program, NULL, NULL, argv, environ)) {
        perror(program);
        exit(2);
    }
}

static void bind_router(struct scene *scene)
{
    int zero = 0;
    scene->router = zmq_socket(scene->zmq, ZMQ_ROUTER);
    zmq_setsockopt(scene->router, ZMQ_LINGER, &zero, sizeof(zero));
    zmq_setsockopt(scene->router, ZMQ_SNDHWM, &zero, sizeof(zero));
    zmq_setsockopt(scene->router, ZMQ_RCVHWM, &zero, sizeof(zero));
    if (zmq_bind(scene->router, scene->address)) {
        perror("bind");
        exit(2);
    }
}

static void open_scene(struct scene *scene, const char *name, const char *slots, const char *extra)
{
    *scene = (struct scene){.zmq = zmq_ctx_new(), .acknowledges = true};
    snprintf(scene->address, sizeof(scene->address), "ipc://%s/%s.sock", directory, name);
    snprintf(scene->dir, sizeof(scene->dir), "%s/%s", directory, name);
    bind_router(scene);
    start_host(scene, slots, extra);
}

static int wait_exit(struct scene *scene)
{
    int status = -1;
    for (int64_t end = now_ms() + 10000; now_ms() < end;) {
        if (waitpid(scene->pid, &status, WNOHANG) == scene->pid) {
            scene->pid = 0;
            return status;
        }
        usleep(2000);
    }
    return -1;
}

static void close_scene(struct scene *scene)
{
    if (scene->pid) {
        kill(scene->pid, SIGKILL);
        waitpid(scene->pid, NULL, 0);
    }
    zmq_close(scene->router);
    zmq_ctx_term(scene->zmq);
    arena_fini(&scene->arena);
    buf_fini(&scene->body);
}

static void send_message(struct scene *scene, unsigned type, struct synk_bytes body,
                         struct synk_bytes values)
{
    uint8_t header[MSG_HEADER_BYTES];
    msg_header_encode((struct msg_header){.type = (uint16_t)type, .epoch = 1}, header);
    zmq_send(scene->router, scene->peer, (size_t)scene->peer_size, ZMQ_SNDMORE);
    zmq_send(scene->router, header, sizeof(header), ZMQ_SNDMORE);
    zmq_send(scene->router, body.data, body.size, values.size ? ZMQ_SNDMORE : 0);
    if (values.size)
        zmq_send(scene->router, values.data, values.size, 0);
}

static void acknowledge(struct scene *scene, uint64_t upto)
{
    struct buf body = {0};
    msg_ack_encode(upto, &body);
    send_message(scene, MSG_ACK, buf_bytes(&body), bytes_of(NULL, 0));
    buf_fini(&body);
    scene->acknowledged = upto;
}

/* The next message within the time; heartbeats are answered, hellos welcomed. */
static bool receive(struct scene *scene, int64_t patience_ms)
{
    for (int64_t end = now_ms() + patience_ms;;) {
        zmq_pollitem_t item = {.socket = scene->router, .events = ZMQ_POLLIN};
        int64_t left = end - now_ms();
        if (zmq_poll(&item, 1, left > 0 ? (long)left : 0) <= 0)
            return false;
        uint8_t header[MSG_HEADER_BYTES + 1];
        scene->peer_size = zmq_recv(scene->router, scene->peer, sizeof(scene->peer), 0);
        int size = zmq_recv(scene->router, header, sizeof(header), 0);
        zmq_msg_t body;
        zmq_msg_init(&body);
        zmq_msg_recv(&body, scene->router, 0);
        buf_clear(&scene->body);
        buf_append(&scene->body, zmq_msg_data(&body), zmq_msg_size(&body));
        zmq_msg_close(&body);
        CHECK(size == MSG_HEADER_BYTES);
        msg_header_decode(bytes_of(header, MSG_HEADER_BYTES), &scene->header, NULL);
        if (scene->header.type == MSG_HEARTBEAT) {
            send_message(scene, MSG_ALIVE, bytes_of("\x80", 1), bytes_of(NULL, 0));
            continue;
        }
        return true;
    }
}

/* Welcomes the host and takes its sync. */
static void settle(struct scene *scene)
{
    bool last = false;
    scene->synced = 0;
    while (!last) {
        if (!receive(scene, 20000)) {
            CHECK(false, "the host did not settle");
            return;
        }
        if (scene->header.type == MSG_HELLO) {
            struct buf body = {0};
            msg_welcome_encode(&(struct msg_welcome){1000, 10000}, &body);
            send_message(scene, MSG_WELCOME, buf_bytes(&body), bytes_of(NULL, 0));
            buf_fini(&body);
        } else if (scene->header.type == MSG_SYNC) {
            struct msg_attempt *items;
            size_t count = 0;
            CHECK(!msg_attempts_decode(buf_bytes(&scene->body), &scene->arena, &items, &count,
                                       &last, NULL));
            scene->synced += count;
        }
    }
}

static struct synk_bytes json(struct scene *scene, const char *text)
{
    struct buf encoded = {0};
    struct synk_error error;
    if (text && json_parse(bytes_str(text), &encoded, &error))
        CHECK(false, "%s", error.text);
    struct synk_bytes copy = arena_copy(&scene->arena, buf_bytes(&encoded));
    buf_fini(&encoded);
    return copy;
}

static void dispatch(struct scene *scene, uint32_t first_task, uint32_t count, const char *function,
                     const char *payload, int64_t timeout_ms)
{
    struct buf specs = {0}, tasks = {0}, body = {0}, values = {0};
    struct msg_spec spec = {.unit = bytes_str("unit"),
                            .run_number = 3,
                            .function = bytes_str(function),
                            .payload = json(scene, payload),
                            .timeout_ms = timeout_ms};
    struct msg_input input = {bytes_str("Parent"), 0};
    msg_spec_encode(&spec, &specs);
    for (uint32_t i = 0; i < count; i++)
        msg_task_encode(&(struct msg_task){.id = {7, first_task + i, 1, 1},
                                           .worker = bytes_str("worker"),
                                           .inputs = &input,
                                           .input_count = count == 1},
                        &tasks);
    msg_dispatch_wrap(buf_bytes(&specs), 1, buf_bytes(&tasks), count, &body);
    pack_array(&values, 1);
    pack_binary(&values, json(scene, "{\"n\": 5}"));
    send_message(scene, MSG_DISPATCH, buf_bytes(&body), buf_bytes(&values));
    buf_fini(&specs);
    buf_fini(&tasks);
    buf_fini(&body);
    buf_fini(&values);
}

/* The result of a task; milestones on the way are counted. */
static struct msg_report await_result(struct scene *scene, uint32_t task, int64_t patience_ms,
                                      int *milestones)
{
    for (int64_t end = now_ms() + patience_ms; now_ms() < end;) {
        struct msg_report *reports;
        size_t count;
        if (!receive(scene, end - now_ms()))
            break;
        if (scene->header.type != MSG_REPORT)
            continue;
        struct synk_bytes body = arena_copy(&scene->arena, buf_bytes(&scene->body));
        struct synk_error error;
        if (msg_reports_decode(body, &scene->arena, &reports, &count, &error)) {
            CHECK(false, "%s", error.text);
            continue;
        }
        uint64_t last = scene->header.sequence + count - 1;
        if (scene->acknowledges)
            acknowledge(scene, last);
        for (size_t i = 0; i < count; i++) {
            if (reports[i].kind == REPORT_MILESTONE && milestones)
                (*milestones)++;
            if (reports[i].kind == REPORT_RESULT && reports[i].id.task == task)
                return reports[i];
        }
    }
    CHECK(false, "no result of task %u", task);
    return (struct msg_report){.outcome = OUTCOME_CRASHED + 1};
}

static struct msg_report run_one(struct scene *scene, uint32_t task, const char *function,
                                 const char *payload, int64_t timeout_ms)
{
    dispatch(scene, task, 1, function, payload, timeout_ms);
    return await_result(scene, task, 20000, NULL);
}

static bool says(struct synk_bytes text, const char *part)
{
    return text.size && memmem(text.data, text.size, part, strlen(part));
}

static const char *show(struct scene *scene, struct synk_bytes value)
{
    struct buf text = {0};
    json_print_encoded(value, 0, &text);
    char *copy = arena_strndup(&scene->arena, (char *)text.data, text.size);
    buf_fini(&text);
    return copy;
}

#define CHECK_REPORT(report, outcome_, part)                                                       \
    CHECK((report).outcome == (outcome_) && (!(part) || says((report).error, (part))),             \
          "outcome %d, error '%.*s'", (int)(report).outcome, (int)(report).error.size,             \
          (const char *)(report).error.data)

/* How many live processes have `mark` in their command line. */
static int count_processes(const char *mark)
{
    int count = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(proc));) {
        char path[300], text[1024];
        snprintf(path, sizeof(path), "/proc/%.40s/cmdline", entry->d_name);
        int fd = open(path, O_RDONLY);
        ssize_t size = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
        if (fd >= 0)
            close(fd);
        count += size > 0 && memmem(text, (size_t)size, mark, strlen(mark)) != NULL;
    }
    closedir(proc);
    return count;
}

static bool await_gone(const char *mark)
{
    for (int64_t end = now_ms() + 5000; now_ms() < end; usleep(2000))
        if (!count_processes(mark))
            return true;
    return false;
}

static void test_exec(void)
{
    struct scene scene;
    struct msg_report report;
    open_scene(&scene, "exec", "1", NULL);
    settle(&scene);
    report = run_one(&scene, 1, "exec", "{\"command\": [\"echo\", \"hello\"]}", 0);
    CHECK_REPORT(report, OUTCOME_SUCCEEDED, NULL);
    const char *text = show(&scene, report.result);
    CHECK(strcmp(text, "{\"exit\":0,\"stdout\":\"hello\\n\"}") == 0, "%s", text);
    CHECK(report.exit_status == 0 && report.user_us >= 0 && report.max_rss_kib > 0);
    report = run_one(&scene, 2, "exec", "{\"command\": \"echo oops >&2; exit 3\"}", 0);
    CHECK_REPORT(report, OUTCOME_FAILED, "exit status 3: oops");
    CHECK(report.exit_status == 3);
    report = run_one(&scene, 3, "exec", "{\"command\": \"kill -9 $$\"}", 0);
    CHECK_REPORT(report, OUTCOME_FAILED, "killed by signal 9 (SIGKILL)");
    report = run_one(&scene, 4, "exec", "{\"command\": [\"no-such-program\"]}", 0);
    CHECK_REPORT(report, OUTCOME_FAILED, "cannot run 'no-such-program': No such file");
    report = run_one(&scene, 5, "exec", "{\"command\": [\"true\"], \"cwd\": \"/nowhere\"}", 0);
    CHECK_REPORT(report, OUTCOME_FAILED, "cannot enter cwd '/nowhere'");
    report =
        run_one(&scene, 6, "exec", "{\"command\": \"cat $SYNK_INPUT\", \"output\": \"json\"}", 0);
    CHECK_REPORT(report, OUTCOME_SUCCEEDED, NULL);
    text = show(&scene, report.result);
    CHECK(strstr(text, "\"inputs\":{\"Parent\":{\"n\":5}}") && strstr(text, "\"run\":\"unit#3\""),
          "%s", text);
    report = run_one(&scene, 7, "exec", "{\"command\": \"echo '{nope'\", \"output\": \"json\"}", 0);
    CHECK_REPORT(report, OUTCOME_FAILED, "standard output is not JSON: line 1");
    report = run_one(&scene, 8, "exec",
                     "{\"command\": \"cat\", \"stdin\": \"json\", \"output\": \"json\"}", 0);
    CHECK_REPORT(report, OUTCOME_SUCCEEDED, NULL);
    report = run_one(&scene, 9, "exec",
                     "{\"command\": \"echo $A$SYNK_WORKER$SYNK_ATTEMPT\", \"env\": {\"A\": 4}}", 0);
    CHECK(strstr(show(&scene, report.result), "4worker1"), "%s", show(&scene, report.result));
    int milestones = 0;
    dispatch(&scene, 10, 1, "exec",
             "{\"command\": \"echo '{\\\"progress\\\":0.4}' >&3; echo "
             "'{\\\"milestone\\\":\\\"half\\\"}' >&3\"}",
             0);
    report = await_result(&scene, 10, 20000, &milestones);
    CHECK_REPORT(report, OUTCOME_SUCCEEDED, NULL);
    CHECK(milestones == 1);
    close_scene(&scene);
}

static void test_ends(void)
{
    struct scene scene;
    struct msg_report report;
    open_scene(&scene, "ends", "2", NULL);
    settle(&scene);
    int64_t start = now_ms();
    report = run_one(&scene, 1, "exec",
                     "{\"command\": \"(trap '' TERM; exec -a x sleep 7001) & trap '' TERM; "
                     "setsid sleep 7001 & sleep 7001; sleep 7001\"}",
                     200);
    CHECK_REPORT(report, OUTCOME_TIMED_OUT, "timed out after 200 ms");
    CHECK(count_processes("7001") == 0 || await_gone("7001"), "a grandchild is alive");
    CHECK(now_ms() - start < 8000);
    report =
        run_one(&scene, 2, "exec", "{\"command\": \"sleep 7002 & setsid sleep 7002 & true\"}", 0);
    CHECK_REPORT(report, OUTCOME_SUCCEEDED, NULL);
    CHECK(count_processes("7002") == 0, "something outlives its command");
    report = run_one(&scene, 3, "sim.sleep", "{\"ms\": 60000}", 100);
    CHECK_REPORT(report, OUTCOME_TIMED_OUT, "timed out");
    report = run_one(&scene, 4, "test.deaf", "{}", 100);
    CHECK_REPORT(report, OUTCOME_TIMED_OUT, "timed out after 100 ms");
    dispatch(&scene, 5, 1, "sim.sleep", "{\"ms\": 60000}", 0);
    while (receive(&scene, 5000) && scene.header.type != MSG_STARTED)
        ;
    CHECK(scene.header.type == MSG_STARTED);
    struct buf body = {0};
    struct msg_attempt named = {.id = {7, 5, 1, 1}, .reason = bytes_str("asked")};
    msg_attempts_encode(&named, 1, true, &body);
    send_message(&scene, MSG_CANCEL_ATTEMPT, buf_bytes(&body), bytes_of(NULL, 0));
    buf_fini(&body);
    report = await_result(&scene, 5, 5000, NULL);
    CHECK_REPORT(report, OUTCOME_CANCELLED, "cancelled: asked");
    close_scene(&scene);
}

static void test_plugin(void)
{
    struct scene scene;
    struct msg_report report;
    int milestones = 0;
    open_scene(&scene, "plugin", "1", NULL);
    settle(&scene);
    dispatch(&scene, 1, 1, "test.greet", "{\"who\": \"you\"}", 0);
    report = await_result(&scene, 1, 20000, &milestones);
    CHECK_REPORT(report, OUTCOME_SUCCEEDED, NULL);
    CHECK(milestones == 1 && strcmp(show(&scene, report.result), "{\"greeted\":\"you\"}") == 0);
    struct buf body = {0};
    msg_log_encode(&(struct msg_log){.request = 9, .run = 7, .task = 1}, &body);
    send_message(&scene, MSG_LOG_READ, buf_bytes(&body), bytes_of(NULL, 0));
    buf_fini(&body);
    while (receive(&scene, 5000) && scene.header.type != MSG_LOG_DATA)
        ;
    struct msg_log log = {0};
    CHECK(!msg_log_decode(buf_bytes(&scene.body), &log, NULL));
    CHECK(log.request == 9 && log.complete && log.attempt == 1 && says(log.data, "greeted you\n") &&
              says(log.data, "printed\n"),
          "%.*s", (int)log.data.size, (const char *)log.data.data);
    report = run_one(&scene, 2, "sim.crash", "{\"signal\": 11}", 0);
    CHECK_REPORT(report, OUTCOME_CRASHED, "signal 11 (SIGSEGV)");
    CHECK(report.signal == 11 && report.max_rss_kib > 0);
    report = run_one(&scene, 3, "test.exits", "{}", 0);
    CHECK_REPORT(report, OUTCOME_CRASHED, "exited with status 7");
    report = run_one(&scene, 4, "test.large", "{}", 0);
    CHECK_REPORT(report, OUTCOME_FAILED, "the limit is 1048576");
    report = run_one(&scene, 5, "test.scribble", "{}", 0);
    CHECK_REPORT(report, OUTCOME_CRASHED, NULL);
    report = run_one(&scene, 6, "nobody.knows", "{}", 0);
    CHECK_REPORT(report, OUTCOME_FAILED, "'nobody.knows' is not known on this host");
    report = run_one(&scene, 7, "sim.echo", "{\"a\": 1}", 0);
    CHECK_REPORT(report, OUTCOME_SUCCEEDED, NULL);
    dispatch(&scene, 100, 1, "sim.crash", "{}", 0);
    dispatch(&scene, 101, 1, "sim.noop", "{}", 0);
    report = await_result(&scene, 101, 20000, NULL);
    CHECK_REPORT(report, OUTCOME_SUCCEEDED, NULL);
    close_scene(&scene);
}

static void test_drain(void)
{
    struct scene scene;
    open_scene(&scene, "drain", "1", "--local");
    settle(&scene);
    dispatch(&scene, 1, 1, "sim.sleep", "{\"ms\": 300}", 0);
    while (receive(&scene, 5000) && scene.header.type != MSG_STARTED)
        ;
    dispatch(&scene, 2, 5, "sim.noop", "{}", 0);
    send_message(&scene, MSG_DRAIN, bytes_of("\x80", 1), bytes_of(NULL, 0));
    size_t rejected = 0, count = 0;
    bool last, is_done = false, said_bye = false;
    struct msg_attempt *items;
    struct msg_report *reports;
    while (!said_bye && receive(&scene, 5000)) {
        struct synk_bytes body = buf_bytes(&scene.body);
        if (scene.header.type == MSG_REJECT &&
            !msg_attempts_decode(body, &scene.arena, &items, &count, &last, NULL))
            rejected += count;
        if (scene.header.type == MSG_REPORT &&
            !msg_reports_decode(body, &scene.arena, &reports, &count, NULL)) {
            is_done = reports[0].id.task == 1;
            acknowledge(&scene, scene.header.sequence + count - 1);
        }
        said_bye = scene.header.type == MSG_BYE;
    }
    CHECK(rejected == 5 && is_done && said_bye, "rejected %zu", rejected);
    int status = wait_exit(&scene);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    close_scene(&scene);
}

/* Waits until the spool has more than `size` bytes. */
static bool await_spool(const struct scene *scene, off_t size)
{
    char path[400];
    struct stat info;
    snprintf(path, sizeof(path), "%s/spool", scene->dir);
    for (int64_t end = now_ms() + 10000; now_ms() < end; usleep(2000))
        if (stat(path, &info) == 0 && info.st_size > size)
            return true;
    return false;
}

/* A limit on the size of files stands for a full disk: results that could not be spooled are, once
 * there is room, and then survive the host. */
static void test_spool_full(void)
{
    struct scene scene;
    struct rlimit limit = {0, RLIM_INFINITY};
    int said[2];
    char text[4096];
    size_t size = 0;
    CHECK(pipe2(said, O_CLOEXEC | O_NONBLOCK) == 0);
    int old_error = dup(STDERR_FILENO);
    dup2(said[1], STDERR_FILENO);
    open_scene(&scene, "full", "1", NULL);
    dup2(old_error, STDERR_FILENO);
    settle(&scene);
    scene.acknowledges = false;
    CHECK(prlimit(scene.pid, RLIMIT_FSIZE, &limit, NULL) == 0);
    run_one(&scene, 1, "exec", "{\"command\": \"echo kept\"}", 0);
    text[0] = '\0';
    for (int64_t end = now_ms() + 10000; now_ms() < end && !strstr(text, "spool-failed");) {
        ssize_t got = read(said[0], text + size, sizeof(text) - 1 - size);
        size += got > 0 ? (size_t)got : 0;
        text[size] = '\0';
        usleep(2000);
    }
    CHECK(strstr(text, "event=spool-failed"), "%s", text);
    limit.rlim_cur = RLIM_INFINITY;
    CHECK(prlimit(scene.pid, RLIMIT_FSIZE, &limit, NULL) == 0);
    CHECK(await_spool(&scene, 0), "it was not tried again");
    kill(scene.pid, SIGKILL);
    waitpid(scene.pid, NULL, 0);
    start_host(&scene, "1", NULL);
    settle(&scene);
    scene.acknowledges = true;
    struct msg_report report = await_result(&scene, 1, 20000, NULL);
    CHECK_REPORT(report, OUTCOME_SUCCEEDED, NULL);
    close_scene(&scene);
    close(old_error);
    close(said[0]);
    close(said[1]);
}

static void test_spool(void)
{
    struct scene scene;
    open_scene(&scene, "spool", "1", NULL);
    settle(&scene);
    /* The supervisor goes while a task runs; its result is spooled, and told after the host's death
     * by the next host of that directory. */
    dispatch(&scene, 1, 1, "exec", "{\"command\": \"echo kept\"}", 0);
    scene.acknowledges = false;
    await_result(&scene, 1, 20000, NULL);
    CHECK(await_spool(&scene, 0), "nothing was spooled");
    dispatch(&scene, 2, 1, "exec", "{\"command\": [\"sleep\", \"7003\"]}", 0);
    while (receive(&scene, 5000) && scene.header.type != MSG_STARTED)
        ;
    char lock_dir[300];
    struct scene second = scene;
    snprintf(lock_dir, sizeof(lock_dir), "%s", scene.dir);
    start_host(&second, "1", NULL);
    int status = wait_exit(&second);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 75, "a second host in one directory");
    kill(scene.pid, SIGKILL);
    waitpid(scene.pid, NULL, 0);
    start_host(&scene, "1", NULL);
    settle(&scene);
    CHECK(scene.synced == 0);
    scene.acknowledges = true;
    struct msg_report report = await_result(&scene, 1, 20000, NULL);
    CHECK_REPORT(report, OUTCOME_SUCCEEDED, NULL);
    CHECK(await_gone("7003"), "a leftover is alive");
    close_scene(&scene);
}

static void test_reconnect(void)
{
    struct scene scene;
    open_scene(&scene, "again", "2", NULL);
    settle(&scene);
    dispatch(&scene, 1, 1, "sim.sleep", "{\"ms\": 60000}", 0);
    while (receive(&scene, 5000) && scene.header.type != MSG_STARTED)
        ;
    scene.acknowledges = false;
    dispatch(&scene, 2, 1, "sim.noop", "{}", 0);
    await_result(&scene, 2, 5000, NULL);
    /* Another supervisor: it does not know the peer that sends heartbeats. */
    zmq_close(scene.router);
    bind_router(&scene);
    uint8_t header[64];
    scene.peer_size = zmq_recv(scene.router, scene.peer, sizeof(scene.peer), 0);
    for (int more = 1; more;) {
        size_t size = sizeof(more);
        zmq_recv(scene.router, header, sizeof(header), 0);
        zmq_getsockopt(scene.router, ZMQ_RCVMORE, &more, &size);
    }
    send_message(&scene, MSG_WHO, bytes_of("\x80", 1), bytes_of(NULL, 0));
    settle(&scene);
    CHECK(scene.synced == 1, "%zu attempts", scene.synced);
    struct msg_report report = await_result(&scene, 2, 5000, NULL);
    CHECK_REPORT(report, OUTCOME_SUCCEEDED, NULL);
    close_scene(&scene);
}

/* What waits behind a long task is done by the other slot. */
static void test_reclaim(void)
{
    struct scene scene;
    open_scene(&scene, "reclaim", "2", NULL);
    settle(&scene);
    dispatch(&scene, 1000, 3000, "sim.noop", "{}", 0);
    await_result(&scene, 3999, 20000, NULL);
    dispatch(&scene, 1, 1, "sim.sleep", "{\"ms\": 60000}", 0);
    dispatch(&scene, 5000, 1000, "sim.noop", "{}", 0);
    struct msg_report report = await_result(&scene, 5999, 5000, NULL);
    CHECK_REPORT(report, OUTCOME_SUCCEEDED, NULL);
    close_scene(&scene);
}

static void measure(const char *function, const char *payload, const char *slots, uint32_t total)
{
    struct scene scene;
    enum { PART = 2000, AHEAD = 20000 };
    open_scene(&scene, "measure", slots, NULL);
    settle(&scene);
    uint32_t sent = 0, done = 0;
    int64_t start = now_ms();
    while (done < total) {
        for (; sent < total && sent - done < AHEAD; sent += PART)
            dispatch(&scene, sent, PART, function, payload, 0);
        struct msg_report *reports;
        size_t count;
        if (!receive(&scene, 20000))
            break;
        if (scene.header.type != MSG_REPORT)
            continue;
        msg_reports_decode(buf_bytes(&scene.body), &scene.arena, &reports, &count, NULL);
        acknowledge(&scene, scene.header.sequence + count - 1);
        done += (uint32_t)count;
        arena_clear(&scene.arena);
    }
    int64_t spent = now_ms() - start;
    printf("%s: %u tasks, %s slots: %.0f a second\n", function, done, slots,
           done * 1000.0 / (double)(spent ? spent : 1));
    close_scene(&scene);
}

/* So many a second, one after the other in each of `slots` places, as a shell loop would. */
static double bare_rate(uint32_t slots, uint32_t total)
{
    char *argv[] = {"/bin/true", NULL};
    int64_t start = now_us();
    for (uint32_t started = 0, live = 0; started < total || live;) {
        pid_t pid;
        if (started < total && live < slots) {
            if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ))
                exit(2);
            started++;
            live++;
        } else if (waitpid(-1, NULL, 0) > 0) {
            live--;
        }
    }
    return total * 1e6 / (double)(now_us() - start);
}

static double exec_rate(struct scene *scene, uint32_t first, uint32_t total)
{
    int64_t start = now_us();
    dispatch(scene, first, total, "exec", "{\"command\": [\"/bin/true\"]}", 0);
    for (uint32_t done = 0; done < total;) {
        struct msg_report *reports;
        size_t count;
        if (!receive(scene, 20000))
            exit(2);
        if (scene->header.type != MSG_REPORT)
            continue;
        msg_reports_decode(buf_bytes(&scene->body), &scene->arena, &reports, &count, NULL);
        acknowledge(scene, scene->header.sequence + count - 1);
        done += (uint32_t)count;
        arena_clear(&scene->arena);
    }
    return total * 1e6 / (double)(now_us() - start);
}

static int by_size(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Machines drift: the two are measured in turns, and each turn gives a ratio of its own. */
static void measure_true(const char *slots)
{
    enum { TURNS = 9, PART = 400 };
    struct scene scene;
    double bare[TURNS], ours[TURNS], ratios[TURNS];
    uint32_t places = (uint32_t)atoi(slots);
    open_scene(&scene, "measure", slots, NULL);
    settle(&scene);
    exec_rate(&scene, 1000000, PART);
    for (int i = 0; i < TURNS; i++) {
        double before = bare_rate(places, PART * places / 2);
        ours[i] = exec_rate(&scene, (uint32_t)i * PART * places, PART * places);
        double after = bare_rate(places, PART * places / 2);
        bare[i] = 2 / (1 / before + 1 / after);
        ratios[i] = ours[i] / bare[i];
    }
    qsort(bare, TURNS, sizeof(*bare), by_size);
    qsort(ours, TURNS, sizeof(*ours), by_size);
    qsort(ratios, TURNS, sizeof(*ratios), by_size);
    printf("/bin/true, %s at a time, medians of %d turns: posix_spawn %.0f a second, exec %.0f, "
           "ratio %.2f (%.2f to %.2f)\n",
           slots, TURNS, bare[TURNS / 2], ours[TURNS / 2], ratios[TURNS / 2], ratios[1],
           ratios[TURNS - 2]);
    close_scene(&scene);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"exec", test_exec},       {"ends", test_ends},   {"plugin", test_plugin},
        {"drain", test_drain},     {"spool", test_spool}, {"reconnect", test_reconnect},
        {"reclaim", test_reclaim}, {"spool_full", test_spool_full},
    };
    if (argc < 3) {
        fprintf(stderr, "usage: host_driver PROGRAM PLUGIN-DIR [CASE]\n");
        return 2;
    }
    program = argv[1];
    plugin_dir = argv[2];
    const char *only = argc > 3 ? argv[3] : NULL;
    const char *base = getenv("TMPDIR");
    snprintf(directory, sizeof(directory), "%s/synk-host.XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(directory)) {
        perror(directory);
        return 2;
    }
    if (only && strcmp(only, "noop") == 0) {
        measure("sim.noop", NULL, argc > 4 ? argv[4] : "1", 2000000);
    } else if (only && strcmp(only, "true") == 0) {
        measure_true(argc > 4 ? argv[4] : "1");
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (only && strcmp(only, cases[i].name) != 0)
            continue;
        int before = failures;
        int64_t start = now_ms();
        cases[i].run();
        printf("%s: %s (%lld ms)\n", cases[i].name, failures == before ? "passed" : "FAILED",
               (long long)(now_ms() - start));
        fflush(stdout);
    }
    nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return failures ? 1 : 0;
}
