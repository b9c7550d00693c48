/* The rings between host and runner: placement, reclaim against a racing reader, scribbled cursors.
 * */
#include "worker-host/ring.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "tests/support/unit.h"

struct rings {
    struct page *page;
    uint8_t *data;
    struct task_writer *writer;
    struct task_reader reader;
};

static struct rings make(void)
{
    struct rings rings = {.page = aligned_alloc(64, PAGE_BYTES),
                          .data = mem_alloc(RINGS_BYTES),
                          .writer = mem_alloc(sizeof(struct task_writer))};
    memset(rings.page, 0, PAGE_BYTES);
    task_writer_init(rings.writer, rings.page, rings.data);
    rings.reader = (struct task_reader){.page = rings.page, .data = rings.data};
    return rings;
}

static void destroy(struct rings *rings)
{
    free(rings->page);
    free(rings->data);
    free(rings->writer);
}

static void put(struct rings *rings, uint32_t size, uint32_t value)
{
    uint8_t *out = task_writer_begin(rings->writer, size);
    memset(out, (int)(value & 0xff), size);
    memcpy(out, &size, sizeof(size));
    memcpy(out + 4, &value, sizeof(value));
}

static uint32_t value_of(struct synk_bytes frame)
{
    uint32_t value;
    memcpy(&value, (const uint8_t *)frame.data + 4, sizeof(value));
    return value;
}

static void test_tasks_in_order_over_many_laps(void)
{
    struct rings rings = make();
    struct synk_bytes frame;
    uint32_t number, next_read = 0, next_write = 0;
    bool wake, is_good = true;
    for (int lap = 0; lap < 2000; lap++) {
        for (int i = 0; i < 7; i++) {
            uint32_t size = 100 + (uint32_t)(lap * 37 + i * 101) % 4000;
            if (task_writer_fits(rings.writer, size))
                put(&rings, size, next_write++);
        }
        is_good &= task_writer_publish(rings.writer, &wake) == SYNK_OK;
        for (int i = 0; i < 6 && task_reader_take(&rings.reader, &frame, &number); i++) {
            is_good &= number == next_read && value_of(frame) == next_read;
            next_read++;
            task_writer_finish(rings.writer);
        }
    }
    CU_ASSERT(is_good && next_read > 9000);
    destroy(&rings);
}

static void test_a_large_task_fits_when_alone(void)
{
    struct rings rings = make();
    struct synk_bytes frame;
    uint32_t number;
    bool wake;
    CU_ASSERT_TRUE(task_writer_fits(rings.writer, 7 << 20));
    put(&rings, 7 << 20, 1);
    CU_ASSERT_FALSE(task_writer_fits(rings.writer, 100));
    CU_ASSERT(!task_writer_publish(rings.writer, &wake));
    CU_ASSERT(task_reader_take(&rings.reader, &frame, &number) && frame.size == 7 << 20);
    task_writer_finish(rings.writer);
    CU_ASSERT_TRUE(task_writer_fits(rings.writer, 7 << 20));
    destroy(&rings);
}

static void test_reclaim_leaves_what_began(void)
{
    struct rings rings = make();
    struct synk_bytes frame;
    uint32_t number, count;
    bool wake;
    for (uint32_t i = 0; i < 10; i++)
        put(&rings, 64, i);
    task_writer_publish(rings.writer, &wake);
    task_reader_take(&rings.reader, &frame, &number);
    CU_ASSERT(!task_writer_reclaim(rings.writer, &count) && count == 9);
    CU_ASSERT_FALSE(task_reader_take(&rings.reader, &frame, &number));
    CU_ASSERT(!task_writer_taken(rings.writer, &count) && count == 1);
    put(&rings, 200, 77);
    task_writer_publish(rings.writer, &wake);
    CU_ASSERT(task_reader_take(&rings.reader, &frame, &number) && number == 1 &&
              value_of(frame) == 77);
    destroy(&rings);
}

static void test_a_scribbled_cursor_is_seen(void)
{
    struct rings rings = make();
    uint32_t count;
    bool wake;
    put(&rings, 64, 0);
    task_writer_publish(rings.writer, &wake);
    atomic_store(&rings.page->cursor, 0x5a5a5a5a5a5a5a5a);
    CU_ASSERT_EQUAL(task_writer_reclaim(rings.writer, &count), SYNK_CORRUPT);
    CU_ASSERT_EQUAL(task_writer_publish(rings.writer, &wake), SYNK_CORRUPT);
    CU_ASSERT_EQUAL(task_writer_taken(rings.writer, &count), SYNK_CORRUPT);
    uint64_t head = 0;
    struct buf out = {0};
    atomic_store(&rings.page->report_tail, (uint64_t)REPORT_RING_BYTES + 1);
    CU_ASSERT_EQUAL(report_read(rings.page, rings.data, &head, &out), SYNK_CORRUPT);
    buf_fini(&out);
    destroy(&rings);
}

enum { RACE_TASKS = 100000 };
struct race {
    struct rings rings;
    atomic_uint taken, bad;
    atomic_bool stop;
    uint8_t *seen;
};

static void *run_reader(void *context)
{
    struct race *race = context;
    struct synk_bytes frame;
    uint32_t number;
    while (!atomic_load(&race->stop)) {
        if (!task_reader_take(&race->rings.reader, &frame, &number)) {
            sched_yield();
            continue;
        }
        uint32_t value = value_of(frame);
        const uint8_t *bytes = frame.data;
        if (value >= RACE_TASKS || race->seen[value]++ || bytes[frame.size - 1] != (value & 0xff))
            atomic_fetch_add(&race->bad, 1);
        atomic_fetch_add(&race->taken, 1);
    }
    return NULL;
}

/* Each task is taken once, whole, though the writer takes back what it can all the time. */
static void test_reclaim_races_the_reader(void)
{
    struct race *race = mem_zalloc(1, sizeof(*race));
    pthread_t thread;
    bool wake;
    race->rings = make();
    race->seen = mem_zalloc(RACE_TASKS, 1);
    pthread_create(&thread, NULL, run_reader, race);
    struct task_writer *writer = race->rings.writer;
    uint32_t next = 0, finished = 0, count, bad_calls = 0;
    while (finished < RACE_TASKS) {
        for (int i = 0; i < 50 && next < RACE_TASKS && task_writer_fits(writer, 96); i++)
            put(&race->rings, 32 + next % 64, next), next++;
        bad_calls += task_writer_publish(writer, &wake) != SYNK_OK;
        sched_yield(); /* on one processor, the reader's turn */
        /* Reported before reclaimed, as a runner does it: taken ones but the last are finished. */
        bad_calls += task_writer_reclaim(writer, &count) != SYNK_OK;
        next -= count;
        uint32_t taken = atomic_load(&race->taken);
        while (finished < taken) {
            task_writer_finish(writer);
            finished++;
        }
    }
    atomic_store(&race->stop, true);
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(bad_calls, 0);
    CU_ASSERT_EQUAL(atomic_load(&race->bad), 0);
    free(race->seen);
    destroy(&race->rings);
    free(race);
}

static void test_reports_wrap(void)
{
    struct rings rings = make();
    struct buf out = {0};
    uint64_t head = 0;
    bool is_good = true;
    uint8_t *bytes = mem_alloc(700000);
    for (int i = 0; i < 50; i++) {
        size_t size = 1000 + (size_t)i * 13001;
        memset(bytes, i, size);
        struct synk_bytes pieces[] = {bytes_of(bytes, 100), bytes_of(bytes + 100, size - 100)};
        is_good &= report_fits(rings.page, size);
        report_write(rings.page, rings.data, pieces, 2);
        buf_clear(&out);
        is_good &= !report_read(rings.page, rings.data, &head, &out) && out.size == size &&
                   memcmp(out.data, bytes, size) == 0;
    }
    CU_ASSERT_TRUE(is_good);
    CU_ASSERT_FALSE(report_fits(rings.page, REPORT_RING_BYTES + 1));
    free(bytes);
    buf_fini(&out);
    destroy(&rings);
}

static const struct unit_case cases[] = {
    {"tasks_in_order_over_many_laps", test_tasks_in_order_over_many_laps},
    {"a_large_task_fits_when_alone", test_a_large_task_fits_when_alone},
    {"reclaim_leaves_what_began", test_reclaim_leaves_what_began},
    {"a_scribbled_cursor_is_seen", test_a_scribbled_cursor_is_seen},
    {"reclaim_races_the_reader", test_reclaim_races_the_reader},
    {"reports_wrap", test_reports_wrap},
    {NULL, NULL},
};

int main(int argc, char **argv)
{
    return unit_main(argc, argv, "host ring", cases);
}
