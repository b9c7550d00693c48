/* The Redis store where the server fails, is cut off, is replaced, or belongs to somebody else. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "proto/expression.h"
#include "proto/limits.h"
#include "supervisor/store/lease.h"
#include "supervisor/store/redis.h"
#include "supervisor/store/store_copy.h"
#include "tests/support/redis_server.h"
#include "tests/support/store_fixture.h"

static struct redis_server server; /* appendfsync always */

static const char *cluster(const char *name)
{
    static char uri[700];
    snprintf(uri, sizeof(uri), "unix:%s?cluster=%s", server.socket, name);
    return uri;
}

static void add_one(struct batch *batch, uint64_t run)
{
    batch_clear(batch);
    add_run(batch, run, "p", run, RUN_RUNNING, 1);
    add_event(batch, run, "start", "p", "p#1");
}

static void test_what_is_kept_can_be_read_with_redis_cli(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_every_kind(&batch);
    add_event(&batch, 1, "start", "p", "p#2");
    open_store(&fixture, cluster("readable"));
    CU_ASSERT_STRING_EQUAL(store_durability(fixture.store), "fsync");
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "HMGET synk:{readable}:run:5 unit number status"),
                           "p 2 running");
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "HMGET synk:{readable}:unit:p status enabled paused"),
                           "running 1 -");
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "XLEN synk:{readable}:events"), "1");
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "HMGET synk:{readable}:state lsn epoch last_event"),
                           "1 1 1");
    CU_ASSERT(strtol(redis_do(&server, "PTTL synk:{readable}:lease"), NULL, 10) > 3000);
    close_store(&fixture);
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "EXISTS synk:{readable}:lease"), "0");
    batch_fini(&batch);
}

static void test_bad_records_are_quarantined(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_every_kind(&batch);
    add_task(&batch, 5, 0, TASK_SUCCEEDED);
    open_store(&fixture, cluster("bad"));
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    close_store(&fixture);
    redis_do(&server, "HSET synk:{bad}:tasks:5:0 0 rubbish");
    redis_do(&server, "HSET synk:{bad}:unit:p status 99");
    open_store(&fixture, cluster("bad"));
    const char *loaded = load(&fixture);
    CU_ASSERT_EQUAL(fixture.quarantined, 2);
    CU_ASSERT(has(loaded, "task 5.1 "));
    CU_ASSERT_PTR_NULL(strstr(loaded, "task 5.0 "));
    CU_ASSERT_PTR_NULL(strstr(loaded, "unit p"));
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "XLEN synk:{bad}:quarantine"), "2");
    load(&fixture);
    CU_ASSERT_EQUAL(fixture.quarantined, 0);
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_a_second_supervisor_is_told_who_leads(void)
{
    struct fixture first, second;
    struct batch batch;
    struct store_leader leader;
    uint32_t epoch = 0;
    batch_init(&batch);
    add_one(&batch, 1);
    open_store(&first, cluster("two"));
    CU_ASSERT_EQUAL(commit(&first, &batch), SYNK_OK);
    open_store(&second, cluster("two"));
    CU_ASSERT_EQUAL(store_load(second.store, print_record, &second, &second.epoch,
                               &second.last_event, &second.quarantined, &second.error),
                    SYNK_BUSY);
    CU_ASSERT(has(second.error.text, "leads"));
    CU_ASSERT_EQUAL(store_lease_acquire(second.store, 0, &epoch, &leader, &second.error),
                    SYNK_BUSY);
    CU_ASSERT_EQUAL(leader.epoch, 1);
    CU_ASSERT(leader.left_ms > 0 && leader.left_ms <= LEASE_MS);
    CU_ASSERT(store_lease_is_held(first.store));
    CU_ASSERT_FALSE(store_lease_is_held(second.store));
    store_lease_release(first.store);
    CU_ASSERT_EQUAL(store_lease_acquire(second.store, 7, &epoch, &leader, &second.error), SYNK_OK);
    CU_ASSERT_EQUAL(epoch, 7);
    /* Whoever led before can do nothing. */
    add_one(&batch, 2);
    CU_ASSERT_EQUAL(commit(&first, &batch), SYNK_NOT_LEADER);
    CU_ASSERT(has(first.error.text, "epoch 7"));
    CU_ASSERT_EQUAL(commit(&second, &batch), SYNK_OK);
    CU_ASSERT(has(load(&second), "run 2 "));
    CU_ASSERT_EQUAL(second.epoch, 7);
    close_store(&first);
    close_store(&second);
    batch_fini(&batch);
}

static void test_the_same_owner_takes_over_at_once(void)
{
    struct fixture first, second;
    struct batch batch;
    uint32_t epoch = 0;
    batch_init(&batch);
    add_one(&batch, 1);
    memset(&first, 0, sizeof(first));
    memset(&second, 0, sizeof(second));
    sem_init(&first.woken, 0, 0);
    sem_init(&second.woken, 0, 0);
    struct store_options options = {
        .uri = cluster("owner"), .wake = wake, .wake_context = &first, .owner = "here:/run/synk"};
    CU_ASSERT_EQUAL(store_open(&options, &first.store, &first.error), SYNK_OK);
    CU_ASSERT_EQUAL(commit(&first, &batch), SYNK_OK);
    options.wake_context = &second;
    CU_ASSERT_EQUAL(store_open(&options, &second.store, &second.error), SYNK_OK);
    CU_ASSERT_EQUAL(store_lease_acquire(second.store, 0, &epoch, NULL, &second.error), SYNK_OK);
    CU_ASSERT_EQUAL(epoch, 2);
    add_one(&batch, 2);
    CU_ASSERT_EQUAL(commit(&first, &batch), SYNK_NOT_LEADER);
    close_store(&first);
    close_store(&second);
    batch_fini(&batch);
}

static void test_killed_and_restarted_it_has_all_that_was_acknowledged(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    open_store(&fixture, cluster("killed"));
    for (uint64_t run = 1; run <= 20; run++) {
        add_one(&batch, run);
        CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
        if (run % 7 == 0) {
            redis_kill(&server);
            redis_start(&server);
        }
    }
    struct query query = {.kind = QUERY_RUNS, .status = -1};
    CU_ASSERT(has(ask(&fixture, &query), "\"run\":\"p#20\""));
    close_store(&fixture);
    open_store(&fixture, cluster("killed"));
    CU_ASSERT_EQUAL(count_lines(load(&fixture), "run "), 20);
    CU_ASSERT_EQUAL(fixture.last_event, 20);
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_down_is_told_and_passes(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_one(&batch, 1);
    open_store(&fixture, cluster("down"));
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    add_one(&batch, 2);
    redis_kill(&server);
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_STORE_DOWN);
    struct query query = {.kind = QUERY_RUNS, .status = -1};
    ask(&fixture, &query);
    CU_ASSERT_EQUAL(fixture.status, SYNK_STORE_DOWN);
    redis_start(&server);
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "HMGET synk:{down}:state lsn last_event"), "2 2");
    close_store(&fixture);
    batch_fini(&batch);
}

/* ---- a connection that is cut between the question and its answer ---- */

/* Passes bytes between the store and the server. Once armed, it cuts the connection behind the
 * first batch: with `swallows`, the server has got it, and its answer is lost; else nothing gets
 * there. */
struct proxy {
    char socket[340];
    int listener;
    pthread_t thread;
    atomic_bool ends, armed, swallows;
    atomic_int cuts;
};

static int connect_server(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", server.socket);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        abort();
    return fd;
}

static void write_all(int fd, const char *bytes, ssize_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, bytes, (size_t)size);
        if (written <= 0)
            return;
        bytes += written;
        size -= written;
    }
}

/* One connection until it ends; true: it was cut. */
static void *pass(void *context)
{
    struct {
        struct proxy *proxy;
        int client;
    } *pair = context;
    struct proxy *proxy = pair->proxy;
    int client = pair->client, up = connect_server();
    static _Thread_local char bytes[1 << 16];
    free(pair);
    for (;;) {
        struct pollfd fds[2] = {{.fd = client, .events = POLLIN}, {.fd = up, .events = POLLIN}};
        poll(fds, 2, 20);
        if (atomic_load(&proxy->ends))
            break;
        if (fds[0].revents) {
            ssize_t size = read(client, bytes, sizeof(bytes));
            if (size <= 0)
                break;
            bool is_batch = memmem(bytes, (size_t)size, "last_event", 10) != NULL;
            bool cuts = is_batch && atomic_exchange(&proxy->armed, false);
            if (!cuts || atomic_load(&proxy->swallows))
                write_all(up, bytes, size);
            if (cuts) {
                if (atomic_load(&proxy->swallows))
                    size = read(up, bytes, sizeof(bytes)); /* it is done */
                atomic_fetch_add(&proxy->cuts, 1);
                break;
            }
        }
        if (fds[1].revents) {
            ssize_t size = read(up, bytes, sizeof(bytes));
            if (size <= 0)
                break;
            write_all(client, bytes, size);
        }
    }
    close(client);
    close(up);
    return NULL;
}

static void *take_connections(void *context)
{
    struct proxy *proxy = context;
    pthread_t threads[64];
    int count = 0;
    while (!atomic_load(&proxy->ends) && count < 64) {
        struct pollfd wait = {.fd = proxy->listener, .events = POLLIN};
        if (poll(&wait, 1, 20) <= 0)
            continue;
        struct {
            struct proxy *proxy;
            int client;
        } *pair = malloc(sizeof(*pair));
        pair->proxy = proxy;
        pair->client = accept(proxy->listener, NULL, NULL);
        pthread_create(&threads[count++], NULL, pass, pair);
    }
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return NULL;
}

static void proxy_start(struct proxy *proxy)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memset(proxy, 0, sizeof(*proxy));
    snprintf(proxy->socket, sizeof(proxy->socket), "%s/proxy", server.directory);
    unlink(proxy->socket);
    snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", proxy->socket);
    proxy->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(proxy->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(proxy->listener, 16) != 0)
        abort();
    pthread_create(&proxy->thread, NULL, take_connections, proxy);
}

static void proxy_stop(struct proxy *proxy)
{
    atomic_store(&proxy->ends, true);
    pthread_join(proxy->thread, NULL);
    close(proxy->listener);
}

static void test_a_batch_whose_answer_was_lost_is_applied_once(void)
{
    struct proxy proxy;
    struct fixture fixture;
    struct batch batch;
    char uri[500];
    batch_init(&batch);
    proxy_start(&proxy);
    snprintf(uri, sizeof(uri), "unix:%s?cluster=cut", proxy.socket);
    open_store(&fixture, uri);
    for (uint64_t run = 1; run <= 6; run++) {
        add_one(&batch, run);
        atomic_store(&proxy.swallows, run % 2 == 0);
        atomic_store(&proxy.armed, run > 2);
        CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    }
    CU_ASSERT_EQUAL(atomic_load(&proxy.cuts), 4);
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "HMGET synk:{cut}:state lsn last_event"), "6 6");
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "XLEN synk:{cut}:events"), "6");
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "HGET synk:{cut}:uses p@1"), "6");
    close_store(&fixture);
    proxy_stop(&proxy);
    batch_fini(&batch);
}

/* ---- servers that refuse ---- */

static void test_a_full_server_applies_nothing(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_one(&batch, 1);
    open_store(&fixture, cluster("full"));
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    redis_do(&server, "CONFIG SET maxmemory 1");
    add_one(&batch, 2);
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_STORE_DOWN);
    CU_ASSERT(has(fixture.error.text, "maxmemory"));
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "HMGET synk:{full}:state lsn last_event"), "1 1");
    redis_do(&server, "CONFIG SET maxmemory 0");
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "HMGET synk:{full}:state lsn last_event"), "2 2");
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_a_demoted_server_is_left(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_one(&batch, 1);
    open_store(&fixture, cluster("demoted"));
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    redis_do(&server, "REPLICAOF 127.0.0.1 1");
    add_one(&batch, 2);
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_STORE_DOWN);
    CU_ASSERT(has(fixture.error.text, "replica"));
    redis_do(&server, "REPLICAOF NO ONE");
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_too_few_replicas_apply_nothing(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_one(&batch, 1);
    open_store(&fixture, cluster("replicas"));
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    redis_do(&server, "CONFIG SET min-replicas-to-write 1");
    add_one(&batch, 2);
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_STORE_DOWN);
    CU_ASSERT(has(fixture.error.text, "replicas"));
    redis_do(&server, "CONFIG SET min-replicas-to-write 0");
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "XLEN synk:{replicas}:events"), "2");
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_forgotten_scripts_are_loaded_again(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_one(&batch, 1);
    open_store(&fixture, cluster("flush"));
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    redis_do(&server, "SCRIPT FLUSH");
    add_one(&batch, 2);
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_a_batch_that_breaks_in_the_middle_is_loud(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    add_one(&batch, 1);
    open_store(&fixture, cluster("broken"));
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    redis_do(&server, "DEL synk:{broken}:live");
    redis_do(&server, "SET synk:{broken}:live foreign");
    add_one(&batch, 2);
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_IO);
    CU_ASSERT(has(fixture.error.text, "in part"));
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_CORRUPT);
    close_store(&fixture);
    open_store(&fixture, cluster("broken"));
    CU_ASSERT_EQUAL(store_load(fixture.store, print_record, &fixture, &fixture.epoch,
                               &fixture.last_event, &fixture.quarantined, &fixture.error),
                    SYNK_CORRUPT);
    close_store(&fixture);
    batch_fini(&batch);
}

/* What a failover to a replica that lagged looks like: the state is that of some batches ago. */
static void save_files(void)
{
    char command[1600];
    snprintf(command, sizeof(command), "cp -r %s/appendonlydir %s/saved", server.directory,
             server.directory);
    CU_ASSERT_EQUAL(system(command), 0);
}

static void go_back(void)
{
    char command[1600];
    redis_kill(&server);
    snprintf(command, sizeof(command), "cd %s && rm -r appendonlydir && mv saved appendonlydir",
             server.directory);
    CU_ASSERT_EQUAL(system(command), 0);
    redis_start(&server);
}

static void commit_runs(struct fixture *fixture, uint64_t first, uint64_t last)
{
    struct batch batch;
    batch_init(&batch);
    for (uint64_t run = first; run <= last; run++) {
        add_one(&batch, run);
        CU_ASSERT_EQUAL(commit(fixture, &batch), SYNK_OK);
    }
    batch_fini(&batch);
}

static void test_a_server_that_lost_batches_is_given_them_again(void)
{
    struct fixture fixture;
    open_store(&fixture, cluster("rolled"));
    commit_runs(&fixture, 1, 1);
    save_files();
    commit_runs(&fixture, 2, 5);
    go_back();
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "HGET synk:{rolled}:state lsn"), "1");
    commit_runs(&fixture, 6, 6);
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "HMGET synk:{rolled}:state lsn last_event"), "6 6");
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "ZCARD synk:{rolled}:runs"), "6");
    close_store(&fixture);
}

static void test_a_server_that_lost_who_leads_is_told_again(void)
{
    struct fixture fixture;
    open_store(&fixture, cluster("forgot"));
    commit_runs(&fixture, 1, 2);
    close_store(&fixture);
    save_files();
    open_store(&fixture, cluster("forgot"));
    commit_runs(&fixture, 3, 4);
    go_back();
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "HMGET synk:{forgot}:state lsn epoch"), "2 1");
    commit_runs(&fixture, 5, 5);
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "HMGET synk:{forgot}:state lsn epoch"), "5 2");
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "ZCARD synk:{forgot}:runs"), "5");
    CU_ASSERT(store_lease_is_held(fixture.store));
    close_store(&fixture);
}

static void test_what_is_lost_beyond_memory_is_loud(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    open_store(&fixture, cluster("gone"));
    commit_runs(&fixture, 1, 1);
    save_files();
    commit_runs(&fixture, 2, 2);
    close_store(&fixture);
    open_store(&fixture, cluster("gone"));
    commit_runs(&fixture, 3, 3);
    go_back();
    add_one(&batch, 4);
    /* The lease of back then is somebody else's, and ends by itself. */
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_STORE_DOWN);
    CU_ASSERT(has(fixture.error.text, "leads"));
    redis_do(&server, "DEL synk:{gone}:lease");
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_IO);
    CU_ASSERT(has(fixture.error.text, "not in memory any more"));
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_a_large_batch_goes_in_parts(void)
{
    enum { TASKS = 24 };
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    uint8_t *big = arena_zalloc(&batch.arena, 1, LIMIT_VALUE_BYTES);
    memcpy(big, "\xc6\x00\x0f\xff\xfb", 5);
    add_run(&batch, 1, "p", 1, RUN_RUNNING, TASKS);
    for (uint32_t i = 0; i < TASKS; i++)
        add_task(&batch, 1, i, TASK_SUCCEEDED)->task.result = bytes_of(big, LIMIT_VALUE_BYTES);
    open_store(&fixture, cluster("large"));
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "HLEN synk:{large}:tasks:1:0"), "24");
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "EXISTS synk:{large}:stage"), "0");
    close_store(&fixture);
    batch_fini(&batch);
}

static void note_prune(void *context, const struct query *query, const struct store_answer *answer)
{
    (void)query;
    struct fixture *fixture = context;
    fixture->open_answers--;
    fixture->status = answer->status;
    free(fixture->json);
    if (asprintf(&fixture->json, "%d runs, %d events", (int)answer->removed_runs,
                 (int)answer->removed_events) < 0)
        abort();
}

static void test_retention_removes_what_is_past_its_bounds(void)
{
    struct fixture fixture;
    struct batch batch;
    batch_init(&batch);
    for (uint64_t run = 1; run <= 10; run++) {
        add_run(&batch, run, "p", run, run == 1 ? RUN_RUNNING : RUN_SUCCEEDED, 70)->run.ended_at =
            (int64_t)run;
        add_task(&batch, run, 65, TASK_SUCCEEDED);
    }
    add_event(&batch, 1, "start", "p", "p#1");
    add_event(&batch, 2, "start", "p", "p#1");
    open_store(&fixture, cluster("retain"));
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    batch_clear(&batch);
    add_event(&batch, 3, "start", "p", "p#1");
    batch.retains = true;
    batch.retention = (struct retention){.keep_runs = 3, .keep_events = 1, .counts = true};
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    struct query query = {.kind = QUERY_PRUNE};
    fixture.open_answers++;
    store_query(fixture.store, &query, note_prune, &fixture);
    await(&fixture);
    CU_ASSERT_EQUAL(fixture.status, SYNK_OK);
    CU_ASSERT_STRING_EQUAL(fixture.json, "6 runs, 2 events");
    CU_ASSERT_STRING_EQUAL(redis_do(&server, "ZRANGE synk:{retain}:runs 0 -1"), "1 8 9 10");
    CU_ASSERT_STRING_EQUAL(
        redis_do(&server, "EXISTS synk:{retain}:tasks:5:1 synk:{retain}:removed"), "0");
    query = (struct query){.kind = QUERY_EVENTS};
    CU_ASSERT(has(ask(&fixture, &query), "\"next\":3,\"head\":3,\"first\":3"));
    close_store(&fixture);
    batch_fini(&batch);
}

static void test_a_copy_has_everything(void)
{
    struct fixture fixture;
    struct batch batch;
    char from[300], back[300];
    struct store_report report;
    struct synk_error error = {0};
    batch_init(&batch);
    add_every_kind(&batch);
    add_run(&batch, 6, "p", 3, RUN_SUCCEEDED, 2)->run.ended_at = 5;
    add_event(&batch, 1, "start", "p", "p#2");
    snprintf(from, sizeof(from), "sqlite:%s/from", unit_directory());
    snprintf(back, sizeof(back), "sqlite:%s/back", unit_directory());
    open_store(&fixture, from);
    CU_ASSERT_EQUAL(commit(&fixture, &batch), SYNK_OK);
    load(&fixture);
    close_store(&fixture);
    CU_ASSERT_EQUAL(store_copy(from, cluster("copy"), &report, &error), SYNK_OK);
    CU_ASSERT_EQUAL(report.runs, 2);
    CU_ASSERT_EQUAL(report.events, 1);
    CU_ASSERT_EQUAL(store_copy(from, cluster("copy"), &report, &error), SYNK_EXISTS);
    CU_ASSERT_EQUAL(store_copy(cluster("copy"), back, &report, &error), SYNK_OK);
    CU_ASSERT_EQUAL(store_copy(from, "memory:", &report, &error), SYNK_INVALID);
    open_store(&fixture, back);
    const char *loaded = load(&fixture);
    CU_ASSERT(has(loaded, "task 5.1 retry-wait c2 t1 a3 e4 b@local"));
    CU_ASSERT(has(loaded, "run 6 p/#3 v1 succeeded"));
    CU_ASSERT(fixture.epoch > 2);
    CU_ASSERT_EQUAL(fixture.last_event, 1);
    struct query query = {.kind = QUERY_RUN, .run = 5, .with_attempts = true};
    CU_ASSERT(has(ask(&fixture, &query), "\"outcome\":\"lost\""));
    close_store(&fixture);
    struct expression *expression = expression_new();
    struct expression_checker checker = expression_checker(expression);
    CU_ASSERT_EQUAL(store_check(cluster("copy"), &checker, &report, &error), SYNK_OK);
    expression_free(expression);
    CU_ASSERT_EQUAL(report.tasks, 1);
    CU_ASSERT_EQUAL(report.bad, 0);
    batch_fini(&batch);
}

static void test_unsafe_servers_are_refused(void)
{
    static const struct {
        const char *setting, *back, *why;
    } cases[] = {
        {"CONFIG SET appendfsync no", "CONFIG SET appendfsync always", "appendfsync"},
        {"CONFIG SET maxmemory-policy allkeys-lru", "CONFIG SET maxmemory-policy noeviction",
         "noeviction"},
        {"CONFIG SET appendonly no", "CONFIG SET appendonly yes", "keeps nothing"},
    };
    struct fixture fixture;
    char allowed[720];
    redis_do(&server, "CONFIG SET maxmemory 1gb");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        redis_do(&server, cases[i].setting);
        CU_ASSERT_EQUAL(try_open(&fixture, cluster("unsafe")), SYNK_REFUSED);
        CU_ASSERT(has(fixture.error.text, cases[i].why));
        CU_ASSERT(has(fixture.error.text, "unsafe=allow"));
        snprintf(allowed, sizeof(allowed), "%s&unsafe=allow", cluster("unsafe"));
        open_store(&fixture, allowed);
        close_store(&fixture);
        redis_do(&server, cases[i].back);
    }
    redis_do(&server, "CONFIG SET maxmemory 0");
}

static void test_uris_that_are_refused(void)
{
    static const struct {
        const char *uri, *why;
    } cases[] = {
        {"redis:localhost", "redis://HOST:PORT/DB"},
        {"redis://user:secret@host/0", "password-file"},
        {"redis://host:0", "HOST:PORT"},
        {"redis://host:70000", "port"},
        {"redis://host/x", "database"},
        {"redis://a,b/0", "redis+sentinel"},
        {"redis://host?cluster={x}", "cluster"},
        {"redis://host?unsafe=yes", "allow"},
        {"redis://host?password=x", "no parameter 'password'"},
        {"redis://host?user=u", "password-file"},
        {"unix:relative", "absolute"},
        {"redis+sentinel://a:1,b:2", "master"},
    };
    struct fixture fixture;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CU_ASSERT_EQUAL(try_open(&fixture, cases[i].uri), SYNK_INVALID);
        CU_ASSERT(has(fixture.error.text, cases[i].why));
    }
}

static void test_no_server_is_told(void)
{
    struct fixture fixture;
    char uri[400];
    snprintf(uri, sizeof(uri), "unix:%s/none", unit_directory());
    CU_ASSERT_EQUAL(try_open(&fixture, uri), SYNK_STORE_DOWN);
    CU_ASSERT(has(fixture.error.text, "No such file"));
}

static void test_a_password_comes_from_a_file_of_its_own(void)
{
    struct fixture fixture;
    char path[300], uri[1100];
    snprintf(path, sizeof(path), "%s/secret", unit_directory());
    FILE *file = fopen(path, "w");
    fputs("hidden\n", file);
    fclose(file);
    redis_do(&server, "ACL SETUSER tester on >hidden ~synk:{acl}:* +@all");
    snprintf(uri, sizeof(uri), "%s&user=tester&password-file=%s", cluster("acl"), path);
    chmod(path, 0644);
    CU_ASSERT_EQUAL(try_open(&fixture, uri), SYNK_REFUSED);
    CU_ASSERT(has(fixture.error.text, "chmod 600"));
    chmod(path, 0600);
    open_store(&fixture, uri);
    load(&fixture);
    close_store(&fixture);
    redis_do(&server, "ACL SETUSER tester resetpass >other");
    CU_ASSERT_EQUAL(try_open(&fixture, uri), SYNK_REFUSED);
    CU_ASSERT(has(fixture.error.text, "password"));
}

int main(int argc, char **argv)
{
    static const struct unit_case cases[] = {
        {"what-is-kept-can-be-read-with-redis-cli", test_what_is_kept_can_be_read_with_redis_cli},
        {"bad-records-are-quarantined", test_bad_records_are_quarantined},
        {"a-second-supervisor-is-told-who-leads", test_a_second_supervisor_is_told_who_leads},
        {"the-same-owner-takes-over-at-once", test_the_same_owner_takes_over_at_once},
        {"killed-and-restarted-it-has-all-that-was-acknowledged",
         test_killed_and_restarted_it_has_all_that_was_acknowledged},
        {"down-is-told-and-passes", test_down_is_told_and_passes},
        {"a-batch-whose-answer-was-lost-is-applied-once",
         test_a_batch_whose_answer_was_lost_is_applied_once},
        {"a-full-server-applies-nothing", test_a_full_server_applies_nothing},
        {"a-demoted-server-is-left", test_a_demoted_server_is_left},
        {"too-few-replicas-apply-nothing", test_too_few_replicas_apply_nothing},
        {"forgotten-scripts-are-loaded-again", test_forgotten_scripts_are_loaded_again},
        {"a-batch-that-breaks-in-the-middle-is-loud",
         test_a_batch_that_breaks_in_the_middle_is_loud},
        {"a-server-that-lost-batches-is-given-them-again",
         test_a_server_that_lost_batches_is_given_them_again},
        {"a-server-that-lost-who-leads-is-told-again",
         test_a_server_that_lost_who_leads_is_told_again},
        {"what-is-lost-beyond-memory-is-loud", test_what_is_lost_beyond_memory_is_loud},
        {"a-large-batch-goes-in-parts", test_a_large_batch_goes_in_parts},
        {"retention-removes-what-is-past-its-bounds",
         test_retention_removes_what_is_past_its_bounds},
        {"a-copy-has-everything", test_a_copy_has_everything},
        {"unsafe-servers-are-refused", test_unsafe_servers_are_refused},
        {"uris-that-are-refused", test_uris_that_are_refused},
        {"no-server-is-told", test_no_server_is_told},
        {"a-password-comes-from-a-file-of-its-own", test_a_password_comes_from_a_file_of_its_own},
        {NULL, NULL},
    };
    if (!redis_program()) {
        printf("SKIPPED: there is no redis-server (tools/setup installs it)\n");
        return 77;
    }
    signal(SIGPIPE, SIG_IGN); /* as every program that opens a store does */
    redis_init(&server, "redis");
    server.options[0] = "--appendfsync";
    server.options[1] = "always";
    redis_start(&server);
    int code = unit_main(argc, argv, "store-redis", cases);
    redis_kill(&server);
    return code;
}
